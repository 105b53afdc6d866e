#include "sources/file/known_formats.h"

#include <array>
#include <cstring>

namespace vitrine {
namespace {

using namespace std::string_view_literals;

struct Magic {
    std::size_t offset;
    std::string_view bytes;
    KnownFormat format;
};

constexpr std::string_view kToElf = "make an ELF core of it: crash or makedumpfile can read this format";
constexpr std::string_view kSaved =
    "restore the guest, or dump its memory with dump-guest-memory or virsh dump --memory-only";
constexpr std::string_view kDisk = "this is a disk, not memory; qemu-img works on it";
constexpr std::string_view kWindows = "convert it to a raw image, e.g. with MemProcFS or volatility3's layerwriter";

constexpr std::array kMagics{
    Magic{0,
          "KDUMP   "sv,
          {"a kdump-compressed dump", "dump with format elf, or convert it: makedumpfile -E dump elf"}},
    Magic{0, "DISKDUMP"sv, {"a diskdump-compressed dump", kToElf}},
    Magic{0,
          "makedumpfile\0\0\0\0"sv,
          {"a flattened kdump (what dump-guest-memory -z writes)",
           "makedumpfile -R dump < file, then makedumpfile -E dump elf"}},
    Magic{0, "EMiL"sv, {"a LiME memory image", "convert it to a raw image, or make an ELF core"}},
    Magic{0, "AVML"sv, {"an AVML memory image", "avml-convert --format raw file raw"}},
    Magic{0, "\xd0\xbe\xd2\xbe"sv, {"a VMware snapshot state", "give the .vmem file beside it"}},
    Magic{0, "\xd0\xbe\xd0\xbe"sv, {"a VMware snapshot state", "give the .vmem file beside it"}},
    Magic{0, "\xd1\xba\xd1\xba"sv, {"a VMware snapshot state", "give the .vmem file beside it"}},
    Magic{0, "\xd2\xba\xd2\xba"sv, {"a VMware snapshot state", "give the .vmem file beside it"}},
    Magic{0, "\xd2\xbe\xd2\xbe"sv, {"a VMware snapshot state", "give the .vmem file beside it"}},
    Magic{0, "\xd3\xbe\xd3\xbe"sv, {"a VMware snapshot state", "give the .vmem file beside it"}},
    Magic{0, "QEVM"sv, {"a QEMU migration stream", kSaved}},
    Magic{0, "LibvirtQemudSave"sv, {"a libvirt saved guest", kSaved}},
    Magic{0, "LibvirtQemudPart"sv, {"an unfinished libvirt save", kSaved}},
    Magic{0, "LinuxGuestRecord"sv, {"a Xen saved guest", kSaved}},
    Magic{0,
          "\x7fVirtualBox SavedState"sv,
          {"a VirtualBox saved state", "VBoxManage debugvm NAME dumpvmcore writes an ELF core"}},
    Magic{0, "QFI\xfb"sv, {"a qcow2 disk image", kDisk}},
    Magic{0, "KDMV"sv, {"a VMDK disk image", kDisk}},
    Magic{0, "vhdxfile"sv, {"a VHDX disk image", kDisk}},
    Magic{0, "PAGEDU64"sv, {"a Windows crash dump", kWindows}},
    Magic{0, "PAGEDUMP"sv, {"a Windows crash dump (32-bit)", kWindows}},
    Magic{0, "HIBR"sv, {"a Windows hibernation file", kWindows}},
    Magic{0, "hibr"sv, {"a Windows hibernation file", kWindows}},
    Magic{0, "MDMP"sv, {"a Windows minidump", "a minidump is of one process; dump the machine's memory"}},
    Magic{0, "\x1f\x8b\x08"sv, {"a gzip-compressed file", "gzip -d file"}},
    Magic{0,
          "\xfd"
          "7zXZ\0"sv,
          {"an xz-compressed file", "xz -d file"}},
    Magic{0, "\x28\xb5\x2f\xfd"sv, {"a zstd-compressed file", "zstd -d file"}},
    Magic{0, "BZh"sv, {"a bzip2-compressed file", "bzip2 -d file"}},
    Magic{0, "\x04\x22\x4d\x18"sv, {"an lz4-compressed file", "lz4 -d file"}},
    Magic{0, "\x89LZO\0"sv, {"an lzop-compressed file", "lzop -d file"}},
    Magic{0, "PK\x03\x04"sv, {"a zip archive", "unzip file"}},
    Magic{0, "7z\xbc\xaf\x27\x1c"sv, {"a 7z archive", "7z x file"}},
    Magic{0, "EVF\x09\x0d\x0a\xff"sv, {"an EWF evidence file", "ewfexport writes a raw image"}},
};

}  // namespace

std::optional<KnownFormat> known_format(std::span<const std::byte> head) {
    for (const Magic& magic : kMagics) {
        if (head.size() < magic.offset + magic.bytes.size()) continue;
        if (std::memcmp(head.data() + magic.offset, magic.bytes.data(), magic.bytes.size()) == 0) return magic.format;
    }
    return std::nullopt;
}

}  // namespace vitrine
