// The members of the kernel's socket structures that are read, by group; a family's group may be missing without the others.
#pragma once

#include "vitrine/types/member_need.h"

namespace vitrine::linux_os {

enum SocketMember : std::size_t {
    kCommonFamily,
    kCommonState,
    kCommonNum,
    kCommonDport,
    kCommonDaddr,
    kCommonRcvSaddr,
    kCommonV6Daddr,
    kCommonV6RcvSaddr,
    kCommonNet,
    kCommonNode,
    kCommonBoundDevice,
    kCommonIpv6Only,
    kCommonFlags,
    kSockType,
    kSockProtocol,
    kSockSocket,
    kSockUid,
    kSockBacklog,
    kSockMaxBacklog,
    kSockRmem,
    kSockWmem,
    kSockFilter,
    kSockTimer,
    kSockRetransmitTimer,
    kSocketSk,
    kSocketType,
    kSocketAllocSocket,
    kSocketAllocInode,
    kInodeNumber,
};
extern const NeedGroup kSocketNeeds;  // sizes: sock_common, sock

enum SocketFileMember : std::size_t { kFileOps, kFilePrivate };
extern const NeedGroup kSocketFileNeeds;

enum NetMember : std::size_t {
    kNetList,
    kNetNumber,
    kNetHashinfo,
    kNetUdpTable,
    kNetUnixBuckets,
    kNetPacketList,
};
extern const NeedGroup kNetNeeds;

enum TcpMember : std::size_t {
    kTcpWriteSeq,
    kTcpSndUna,
    kTcpRcvNxt,
    kTcpCopiedSeq,
    kIcskRetransmits,
    kIcskPending,
    kIcskKeepaliveTimer,
    kTwSubstate,
    kRequestTimeouts,
};
extern const NeedGroup kTcpNeeds;  // sizes: tcp_sock, inet_timewait_sock, request_sock

enum TcpTableMember : std::size_t {
    kEhash,
    kEhashMask,
    kEhashChain,
    kListeningHash,
    kLhash2,
    kLhash2Mask,
    kListenHead,
};
extern const NeedGroup kTcpTableNeeds;  // sizes: inet_ehash_bucket, inet_listen_hashbucket

enum UdpMember : std::size_t { kUdpDeficit, kUdpHash, kUdpMask, kUdpSlotHead };
extern const NeedGroup kUdpNeeds;  // sizes: udp_hslot, udp_sock

enum RawMember : std::size_t { kRawTable, kRawFirst };
extern const NeedGroup kRawNeeds;

enum UnixMember : std::size_t { kUnixAddr, kUnixPeer, kUnixAddressLength, kUnixAddressName };
extern const NeedGroup kUnixNeeds;  // sizes: unix_sock

enum NetlinkMember : std::size_t { kNetlinkPortid, kNetlinkGroups, kNetlinkNode, kNetlinkTableHash };
extern const NeedGroup kNetlinkNeeds;  // sizes: netlink_sock, netlink_table

enum PacketMember : std::size_t { kPacketIfindex, kPacketProtocol };
extern const NeedGroup kPacketNeeds;  // sizes: packet_sock

enum VsockMember : std::size_t {
    kVsockLocalCid,
    kVsockLocalPort,
    kVsockRemoteCid,
    kVsockRemotePort,
    kVsockBoundTable,
    kVsockConnectedTable,
};
extern const NeedGroup kVsockNeeds;  // sizes: vsock_sock

}  // namespace vitrine::linux_os
