// Takes the place of the program that writes the truth: makes sockets that are seldom seen, holds them in processes of their own, and becomes
// that program.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void must(int good, const char* what) {
  if (good) return;
  perror(what);
  exit(1);
}

static struct sockaddr_in local(uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static int listener(uint16_t port, int backlog) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = local(port);
  must(bind(fd, (struct sockaddr*)&address, sizeof address) == 0, "bind");
  must(listen(fd, backlog) == 0, "listen");
  return fd;
}

static int connected(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = local(port);
  must(connect(fd, (struct sockaddr*)&address, sizeof address) == 0, "connect");
  return fd;
}

static void not_accepted(void) {
  listener(3333, 8);
  connected(3333);
  must(write(connected(3333), "hello", 5) == 5, "write");
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/run/not-accepted"};
  int at = socket(AF_UNIX, SOCK_STREAM, 0);
  must(bind(at, (struct sockaddr*)&name, sizeof name) == 0 && listen(at, 4) == 0, "unix listener");
  must(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr*)&name, sizeof name) == 0, "unix connect");
}

// Room for one, and it is taken: who comes next gets no answer.
static void not_answered(void) {
  listener(3335, 0);
  connected(3335);
  int late = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = local(3335);
  connect(late, (struct sockaddr*)&address, sizeof address);
}

static void closed(void) {
  int at = listener(3334, 8);
  int first = connected(3334), accepted = accept(at, NULL, NULL);
  close(first);  // who closes first waits
  usleep(100000);
  close(accepted);
  connected(3334);
  close(accept(at, NULL, NULL));  // FIN_WAIT2: the other end stays open
  connected(3334);
  accepted = accept(at, NULL, NULL);
  static char data[65536];
  while (send(accepted, data, sizeof data, MSG_DONTWAIT) > 0) continue;
  close(accepted);  // FIN_WAIT1: nobody reads
}

static void requested(void) {
  int at = listener(3336, 8);
  int seconds = 3600;
  must(setsockopt(at, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds) == 0, "TCP_DEFER_ACCEPT");
  connected(3336);
}

static void datagrams(void) {
  int at = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in address = local(3341);
  must(bind(at, (struct sockaddr*)&address, sizeof address) == 0, "bind udp");
  must(connect(at, (struct sockaddr*)&address, sizeof address) == 0, "connect udp");
  must(write(at, "unread", 6) == 6, "write udp");
  int passed = socket(AF_INET, SOCK_DGRAM, 0), pair[2];
  address = local(3340);
  must(bind(passed, (struct sockaddr*)&address, sizeof address) == 0, "bind passed");
  must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0, "socketpair");
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec text = {.iov_base = "x", .iov_len = 1};
  struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(rights), &passed, sizeof passed);
  must(sendmsg(pair[0], &message, 0) == 1, "sendmsg");
  close(passed);
}

static void others(void) {
  struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
  struct sock_fprog program = {.len = 1, .filter = &none};
  int all = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  must(setsockopt(all, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0, "filter");
  int one = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
  struct sockaddr_ll device = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = 1};
  must(bind(one, (struct sockaddr*)&device, sizeof device) == 0, "bind packet");
  must(setsockopt(one, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0, "filter");
  struct sockaddr_nl groups = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE};
  must(bind(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), (struct sockaddr*)&groups, sizeof groups) == 0, "bind netlink");
  must(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6) >= 0, "raw6");
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(3342)};
  int both = socket(AF_INET6, SOCK_STREAM, 0);
  must(bind(both, (struct sockaddr*)&any, sizeof any) == 0 && listen(both, 3) == 0, "listen v6");
  connected(3342);  // ::ffff:127.0.0.1 at the other end, which is not accepted
}

static void of_process(void (*make)(void), int ready) {
  if (fork() != 0) return;
  make();
  must(write(ready, "r", 1) == 1, "ready");
  for (;;) pause();
}

static void another_namespace(void) {
  must(unshare(CLONE_NEWNET) == 0, "unshare");
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(3350)};
  must(bind(fd, (struct sockaddr*)&address, sizeof address) == 0 && listen(fd, 1) == 0, "listen in a namespace");
}

// Connections that come and go: they are reset, so that none waits.
_Noreturn static void churn(uint16_t port) {
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  int at = listener(port, 8);
  for (;;) {
    int from = connected(port), to = accept(at, NULL, NULL), pair[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    setsockopt(from, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(pair[0]);
    close(from);
    close(pair[1]);
    close(to);
  }
}

int main(int argc, char** argv) {
  static void (*const kinds[])(void) = {not_accepted, not_answered, closed, requested, datagrams, others, another_namespace};
  int ready[2];
  must(argc == 2 && pipe(ready) == 0, "pipe");
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) of_process(kinds[i], ready[1]);
  for (int i = 0; i < 4 && access("/etc/churn", F_OK) == 0; ++i)
    if (fork() == 0) churn((uint16_t)(3360 + i));
  char byte;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) must(read(ready[0], &byte, 1) == 1, "wait");
  close(ready[0]);
  close(ready[1]);
  usleep(500000);
  execv("/bin/collect-truth", (char*[]){"/bin/collect-truth", argv[1], NULL});
  return 1;
}
