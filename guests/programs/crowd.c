// The first process of a test guest with many processes: starts as many as the
// word vitrine.processes=N of the kernel command line says, then becomes /init.
// Each is a program of its own (arguments, environment, address space) that has
// opened what a small server has, mapped files as libraries are, and sleeps.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kLibraries = 4, kPage = 4096 };

static long wanted(void) {
  char words[4096] = "";
  mount("proc", "/proc", "proc", 0, NULL);
  int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, words, sizeof words - 1) < 0) printf("vitrine: /proc/cmdline: %s\n", strerror(errno));
  if (fd >= 0) close(fd);
  umount("/proc");
  const char* word = strstr(words, "vitrine.processes=");
  return word ? strtol(strchr(word, '=') + 1, NULL, 10) : 0;
}

// As a loader maps a library: headers, code, constants, data.
static void map_library(int fd) {
  static const int protections[] = {PROT_READ, PROT_READ | PROT_EXEC, PROT_READ, PROT_READ | PROT_WRITE};
  for (int i = 0; i < 4; ++i) mmap(NULL, 4 * kPage, protections[i], MAP_PRIVATE, fd, 4 * kPage * i);
}

static int be_one(const char* number) {
  char name[16];
  snprintf(name, sizeof name, "crowd-%.9s", number);
  prctl(PR_SET_NAME, name, 0, 0, 0);
  int file = open("/bin/busybox", O_RDONLY);
  for (int i = 0; i < kLibraries; ++i) map_library(file);
  int pair[2];
  if (file < 0 || pipe(pair) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || eventfd(0, 0) < 0 ||
      epoll_create1(0) < 0 || open("/etc/modules", O_RDONLY) < 0)
    return 1;
  // What is made in a heap of its own.
  char* heap = malloc(4 * kPage);
  if (heap) memset(heap, 1, 4 * kPage);
  for (;;) pause();
}

int main(int count, char* arguments[]) {
  if (getpid() != 1) return count > 1 ? be_one(arguments[1]) : 2;
  const long processes = wanted();
  mkdir("/dev", 0755);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  char* environment[] = {"PATH=/bin", "HOME=/", "LANG=C.UTF-8", "TERM=linux", NULL};
  for (long i = 1; i <= processes; ++i) {
    const pid_t pid = fork();
    if (pid < 0) printf("vitrine: process %ld: %s\n", i, strerror(errno));
    if (pid != 0) continue;
    const int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
    if (null > 2) close(null);
    char number[24];
    snprintf(number, sizeof number, "%ld", i);
    execve("/bin/crowd", (char*[]){"/bin/crowd", number, "--of-many", NULL}, environment);
    _exit(127);
  }
  execl("/init", "/init", NULL);
  return 1;
}
