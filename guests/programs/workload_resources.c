// Open files, sockets and memory of processes.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "common.h"

static void check(int fd, const char* what) {
  if (fd < 0) note_failure(what);
}

static void open_files(const void* unused) {
  (void)unused;
  set_comm("open-files");
  int written = open("/tmp/written", O_RDWR | O_CREAT, 0600);
  check(written, "open-files");
  if (write(written, "0123456789", 10) != 10) note_failure("open-files");
  lseek(written, 4, SEEK_SET);
  check(flock(written, LOCK_EX), "flock");
  check(open("/tmp/appended", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640), "appended");
  check(open("/tmp/removed", O_RDWR | O_CREAT, 0600), "removed");
  unlink("/tmp/removed");
  check(open("/tmp/odd \n\x1b[1m\xff name", O_RDWR | O_CREAT, 0600), "odd name");
  check(open("/mnt/with space/on-tmpfs", O_RDWR | O_CREAT, 0600), "on-tmpfs");
  check(open("/mnt/over/on-overlay", O_RDWR | O_CREAT, 0600), "on-overlay");
  check(open("/tmp", O_RDONLY | O_DIRECTORY), "directory");
  check(open("/bin/workload", O_PATH), "O_PATH");
  check(open("/dev/null", O_RDWR), "/dev/null");
  check(open("/dev/urandom", O_RDONLY), "/dev/urandom");
  check(open("/dev/vda", O_RDONLY), "/dev/vda");
  check(open("/proc/1/status", O_RDONLY), "proc file");
  check(open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY), "sysfs file");
  check((int)syscall(SYS_memfd_create, "a memfd", 0), "memfd");
  mkfifo("/tmp/fifo", 0600);
  check(open("/tmp/fifo", O_RDWR | O_NONBLOCK), "fifo");
}

static void open_odd_kinds(const void* unused) {
  (void)unused;
  set_comm("anon-inodes");
  int ends[2];
  check(pipe(ends), "pipe");
  check(eventfd(7, EFD_NONBLOCK), "eventfd");
  int poll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  check(epoll_ctl(poll, EPOLL_CTL_ADD, ends[0], &event), "epoll");
  check(timerfd_create(CLOCK_MONOTONIC, 0), "timerfd");
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  check(signalfd(-1, &signals, 0), "signalfd");
  int watcher = inotify_init1(0);
  check(inotify_add_watch(watcher, "/tmp", IN_CREATE), "inotify");
  check((int)syscall(SYS_pidfd_open, getpid(), 0), "pidfd");
}

static void open_many(const void* unused) {
  (void)unused;
  set_comm("many-files");
  struct rlimit limit = {.rlim_cur = 2048, .rlim_max = 4096};
  check(setrlimit(RLIMIT_NOFILE, &limit), "rlimit");
  for (int i = 0; i < 128; ++i) check(open("/dev/zero", O_RDONLY), "many-files");
  int fd = open("/etc/modules", O_RDONLY);
  check(dup2(fd, 700), "dup2");
  check(dup2(fd, 1500), "dup2");
}

static int bound_socket(int family, int type, uint16_t port) {
  int fd = socket(family, type, 0);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(type == SOCK_STREAM ? INADDR_LOOPBACK : INADDR_ANY);
    check(bind(fd, (struct sockaddr*)&address, sizeof address), "bind v4");
    return fd;
  }
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
  check(bind(fd, (struct sockaddr*)&address, sizeof address), "bind v6");
  return fd;
}

static void connect_to_self(int family, uint16_t port) {
  int listener = bound_socket(family, SOCK_STREAM, port);
  check(listen(listener, 16), "listen");
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  getsockname(listener, (struct sockaddr*)&address, &size);
  int client = socket(family, SOCK_STREAM, 0);
  check(connect(client, (struct sockaddr*)&address, size), "connect");
  check(accept(listener, NULL, NULL), "accept");
}

static int unix_socket(const char* name, size_t length, int type) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, name, length);
  int fd = socket(AF_UNIX, type, 0);
  check(bind(fd, (struct sockaddr*)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)), "bind unix");
  return fd;
}

static void open_sockets(const void* unused) {
  (void)unused;
  set_comm("sockets");
  connect_to_self(AF_INET, 2222);
  connect_to_self(AF_INET6, 2223);
  bound_socket(AF_INET, SOCK_DGRAM, 5353);
  bound_socket(AF_INET6, SOCK_DGRAM, 5354);
  check(listen(unix_socket("/run/service.sock", 18, SOCK_STREAM), 4), "listen unix");
  unix_socket("\0abstract-name", 14, SOCK_DGRAM);
  unix_socket("/run/odd \n name.sock", 21, SOCK_SEQPACKET);
  int pair[2];
  check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
  check(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), "netlink");
  check(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), "raw socket");
  check(socket(AF_INET, SOCK_STREAM, 0), "unbound socket");
}

void start_files(void) {
  spawn("files", open_files, NULL);
  spawn("files-anonymous", open_odd_kinds, NULL);
  spawn("files-many", open_many, NULL);
  spawn("sockets", open_sockets, NULL);
}

static void many_mappings(const void* unused) {
  (void)unused;
  set_comm("many-mappings");
  enum { kCount = 400, kPage = 4096 };
  for (int i = 0; i < kCount; ++i) {
    int protection = i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
    void* page = mmap(NULL, kPage, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) note_failure("many-mappings");
  }
}

static void kinds_of_mappings(const void* unused) {
  (void)unused;
  set_comm("mapping-kinds");
  int fd = open("/tmp/mapped", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (ftruncate(fd, 65536) != 0) note_failure("mapped");
  char* shared = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) memset(shared, 's', 65536);
  mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096);
  int gone = open("/tmp/mapped-gone", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (ftruncate(gone, 4096) != 0) note_failure("mapped-gone");
  mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, gone, 0);
  unlink("/tmp/mapped-gone");
  close(gone);
  close(fd);
  mmap(NULL, 64ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
  mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  // With five-level page tables this hint is honoured, with four it is not.
  char* high = mmap((void*)(1ul << 52), 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (high != MAP_FAILED) memcpy(high, "high", 5);
}

// Pages that say where they are, for checks of address translation; a part of
// them is given as one large page where the kernel has one to spare.
static void beacon(const void* unused) {
  (void)unused;
  set_comm("beacon");
  enum { kPages = 512, kPage = 4096 };
  size_t size = 2ul << 20;
  char* area = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) return;
  char* large = (char*)(((uintptr_t)area + size - 1) & ~(size - 1));
  madvise(large, size, MADV_HUGEPAGE);
  char* small = large + size;
  madvise(small, size / 2, MADV_NOHUGEPAGE);
  for (int i = 0; i < kPages + kPages / 4; ++i) {
    char* page = large + (size_t)i * kPage;
    int length = snprintf(page, kPage, "VITRINE BEACON %p %d\n", (void*)page, i);
    memset(page + length + 1, i & 0xff, (size_t)(kPage - length - 1));
  }
  if (mlock(large, size + size / 4) != 0) note_failure("mlock");
}

void start_memory(void) {
  spawn("memory-many", many_mappings, NULL);
  spawn("memory-kinds", kinds_of_mappings, NULL);
  spawn("beacon", beacon, NULL);
}
