// Executables, arguments, namespaces, roots and credentials of processes.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static char* const kEnvironment[] = {"PATH=/bin", "LANG=C.UTF-8", "ODD=a=b\nc\x1b[1m\xff", "EMPTY=", NULL};

static void run_as(const void* argument) {
  char* const* argv = (char* const*)argument;
  exec_self("/bin/workload", argv, kEnvironment);
}

static void run_with_many(const void* unused) {
  (void)unused;
  enum { kCount = 300, kSize = 400 };
  static char text[kCount][kSize];
  static char* argv[kCount + 3];
  argv[0] = "many-arguments";
  argv[1] = "park";
  for (int i = 0; i < kCount; ++i) {
    memset(text[i], 'a' + i % 26, kSize - 1);
    argv[i + 2] = text[i] + i % (kSize - 1);
  }
  exec_self("/bin/workload", argv, kEnvironment);
}

static void run_program(const void* argument) {
  char* const* argv = (char* const*)argument;
  close(kReadyFd);
  execve(argv[0], argv, kEnvironment);
  note_failure(argv[0]);
}

// For programs that cannot say by themselves when they are set up.
static void spawn_program(const char* label, char* const argv[]) {
  pid_t pid = fork();
  if (pid == 0) {
    note(label);
    run_program(argv);
    _exit(1);
  }
}

void start_arguments(void) {
  static char* plain[] = {"plain-daemon", "park", "--config", "/etc/plain.conf", NULL};
  static char* empty_first[] = {"", "park", NULL};
  static char* none[] = {NULL};
  static char* kernel[] = {"[kworker/u8:3-flush-254:0]", "park", NULL};
  static char* odd[] = {"odd args", "park", "two words", "new\nline", "\x1b[2J", "\xff\xfe", "", "quo'te\"s", NULL};
  static char* title[] = {"titled-process", "title", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", NULL};
  static char* longer[] = {"t", "longtitle", NULL};
  static char* moved[] = {"moved-arguments", "moved", NULL};
  spawn("arguments-plain", run_as, plain);
  spawn("arguments-empty-first", run_as, empty_first);
  spawn("arguments-none", run_as, none);
  spawn("arguments-like-kernel", run_as, kernel);
  spawn("arguments-odd", run_as, odd);
  spawn("arguments-many", run_with_many, NULL);
  spawn("arguments-title", run_as, title);
  spawn("arguments-long-title", run_as, longer);
  spawn("arguments-moved", run_as, moved);
  static char* sleeper[] = {"/bin/sleep", "1000000", NULL};
  static char* shell[] = {"/bin/sh", "-c", "echo $$ >/dev/null; sleep 1000001; :", NULL};
  static char* compat[] = {"/bin/tiny32", "thirty-two bits", NULL};
  spawn_program("busybox-sleep", sleeper);
  spawn_program("busybox-shell", shell);
  spawn_program("compat-32", compat);
}

static void run_copy(const void* argument) {
  char* const* argv = (char* const*)argument;
  if (copy_file("/bin/workload", argv[2]) != 0) note_failure(argv[2]);
  exec_self(argv[2], argv, kEnvironment);
}

static void run_memfd(const void* unused) {
  (void)unused;
  int fd = (int)syscall(SYS_memfd_create, "payload", 1u /* MFD_CLOEXEC */);
  int in = open("/bin/workload", O_RDONLY | O_CLOEXEC);
  char buffer[65536];
  for (ssize_t got; (got = read(in, buffer, sizeof buffer)) > 0;)
    if (write(fd, buffer, (size_t)got) != got) note_failure("memfd");
  char* argv[] = {"from-memfd", "park", NULL};
  syscall(SYS_execveat, fd, "", argv, kEnvironment, AT_EMPTY_PATH);
  note_failure("memfd");
}

static void cwd_gone(const void* unused) {
  (void)unused;
  set_comm("cwd-gone");
  mkdir("/tmp/vanishing", 0755);
  if (chdir("/tmp/vanishing") != 0 || rmdir("/tmp/vanishing") != 0) note_failure("cwd-gone");
}

static void cwd_deep(const void* unused) {
  (void)unused;
  set_comm("cwd-deep");
  char name[201];
  memset(name, 'd', sizeof name - 1);
  name[sizeof name - 1] = 0;
  if (chdir("/tmp") != 0) note_failure("cwd-deep");
  for (int i = 0; i < 12; ++i) {
    mkdir(name, 0755);
    if (chdir(name) != 0) note_failure("cwd-deep");
  }
}

void start_executables(void) {
  static char* gone[] = {"gone-program", "unlink", "/tmp/gone-program", NULL};
  static char* replaced[] = {"replaced-program", "replace", "/tmp/replaced-program", NULL};
  static char* named[] = {"odd-path", "park", "/tmp/od d\n\xc3\xa9\xff(deleted)", NULL};
  static char* bound[] = {"by-bind-mount", "park", "/mnt/bound/bound-program", NULL};
  static char* layered[] = {"on-overlay", "park", "/mnt/over/layered-program", NULL};
  spawn("exe-deleted", run_copy, gone);
  spawn("exe-replaced", run_copy, replaced);
  spawn("exe-odd-path", run_copy, named);
  spawn("exe-bind-mount", run_copy, bound);
  spawn("exe-overlay", run_copy, layered);
  spawn("exe-memfd", run_memfd, NULL);
  spawn("cwd-deleted", cwd_gone, NULL);
  spawn("cwd-deep", cwd_deep, NULL);
}

static void plain_child(const void* name) { set_comm(name); }

static void inner_most(const void* unused) {
  (void)unused;
  set_comm("pidns2-init");
  spawn("pidns2-child", plain_child, "pidns2-child");
}

static void inner_host(const void* unused) {
  (void)unused;
  set_comm("pidns1-host");
  if (unshare(CLONE_NEWPID) != 0) note_failure("nested pidns");
  spawn("pidns2-init", inner_most, NULL);
}

static void inner_init(const void* unused) {
  (void)unused;
  set_comm("pidns1-init");
  spawn("pidns1-child", plain_child, "pidns1-child");
  spawn("pidns1-host", inner_host, NULL);
}

static void outer_host(const void* unused) {
  (void)unused;
  set_comm("ns-host");
  if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP) != 0)
    note_failure("namespaces");
  if (sethostname("inner-host", 10) != 0) note_failure("inner hostname");
  mkdir("/mnt/inner", 0755);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount("inner", "/mnt/inner", "tmpfs", MS_NOEXEC, "size=64k") != 0)
    note_failure("inner mounts");
  spawn("pidns1-init", inner_init, NULL);
}

static void only_uts(const void* unused) {
  (void)unused;
  set_comm("uts-only");
  if (unshare(CLONE_NEWUTS) != 0 || sethostname("other-name", 10) != 0) note_failure("uts-only");
}

static void other_time(const void* unused) {
  (void)unused;
  set_comm("timens-host");
  if (unshare(CLONE_NEWTIME) != 0) {
    note_failure("time namespace");
    return;
  }
  write_text("/proc/self/timens_offsets", "boottime 864000 0\n");
  spawn("timens-child", plain_child, "timens-child");
}

struct Pair {
  int to_child, to_parent;
};

static void mapped_child(const void* argument) {
  const struct Pair* ends = argument;
  char byte = 0;
  set_comm("userns-root");
  if (unshare(CLONE_NEWUSER) != 0) note_failure("user namespace");
  if (write(ends->to_parent, &byte, 1) != 1 || read(ends->to_child, &byte, 1) != 1) note_failure("userns handshake");
  close(ends->to_parent);
  close(ends->to_child);
  if (setresgid(7, 7, 7) != 0 || setresuid(5, 5, 5) != 0) note_failure("userns ids");
}

// The maps are written from outside, as a container manager does it.
static void map_users(const void* unused) {
  (void)unused;
  set_comm("userns-host");
  int down[2], up[2];
  if (pipe(down) != 0 || pipe(up) != 0) return;
  struct Pair ends = {.to_child = down[0], .to_parent = up[1]};
  pid_t pid = spawn("userns-child", mapped_child, &ends);
  char byte = 0, path[64];
  if (read(up[0], &byte, 1) != 1) note_failure("userns handshake");
  snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
  write_text(path, "0 100000 65536\n");
  snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
  write_text(path, "0 200000 65536\n");
  if (write(down[1], &byte, 1) != 1) note_failure("userns handshake");
}

static void jailed(const void* unused) {
  (void)unused;
  mkdir("/srv", 0755);
  mkdir("/srv/jail", 0755);
  mkdir("/srv/jail/bin", 0755);
  if (copy_file("/bin/workload", "/srv/jail/bin/inside") != 0 || chroot("/srv/jail") != 0 || chdir("/") != 0)
    note_failure("chroot");
  char* argv[] = {"jailed-program", "park", NULL};
  exec_self("/bin/inside", argv, kEnvironment);
}

// Its working directory lies outside its root.
static void half_jailed(const void* unused) {
  (void)unused;
  set_comm("half-jailed");
  mkdir("/srv/other", 0755);
  if (chdir("/tmp") != 0 || chroot("/srv/other") != 0) note_failure("half-jailed");
}

void start_namespaces(void) {
  mkdir("/srv", 0755);
  spawn("ns-host", outer_host, NULL);
  spawn("uts-only", only_uts, NULL);
  spawn("timens-host", other_time, NULL);
  spawn("userns-host", map_users, NULL);
  spawn("chroot", jailed, NULL);
  spawn("chroot-cwd-outside", half_jailed, NULL);
}

struct Ids {
  const char* label;
  uid_t ruid, euid, suid;
  gid_t rgid, egid, sgid;
};

static void become(const void* argument) {
  const struct Ids* ids = argument;
  static const gid_t groups[] = {4, 24, 27, 1000, 4000000001u};
  set_comm(ids->label);
  if (setgroups(sizeof groups / sizeof *groups, groups) != 0) note_failure("setgroups");
  if (setresgid(ids->rgid, ids->egid, ids->sgid) != 0) note_failure("setresgid");
  if (setresuid(ids->ruid, ids->euid, ids->suid) != 0) note_failure("setresuid");
}

static void other_fsuid(const void* unused) {
  (void)unused;
  set_comm("fsuid");
  setfsuid(3003);
  setfsgid(3004);
}

static void few_capabilities(const void* unused) {
  (void)unused;
  set_comm("few-caps");
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{0}};
  data[0].permitted = data[0].effective = 1u << CAP_NET_BIND_SERVICE | 1u << CAP_SYS_PTRACE;
  if (syscall(SYS_capset, &header, data) != 0) note_failure("capset");
}

static void confined(const void* unused) {
  (void)unused;
  set_comm("seccomp");
  struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {.len = 1, .filter = allow};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    note_failure("seccomp");
}

static void own_session(const void* unused) {
  (void)unused;
  set_comm("session");
  if (setsid() < 0) note_failure("setsid");
  spawn("session-member", plain_child, "session-member");
}

static void on_terminal(const void* unused) {
  (void)unused;
  set_comm("on-terminal");
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) note_failure("pty");
  char name[64] = "";
  if (master >= 0) ptsname_r(master, name, sizeof name);
  setsid();
  int terminal = open(name, O_RDWR);
  if (terminal < 0 || ioctl(terminal, TIOCSCTTY, 0) != 0) note_failure("controlling terminal");
}

static void in_cgroup(const void* argument) {
  const char* folder = argument;
  char path[160];
  set_comm("in-cgroup");
  snprintf(path, sizeof path, "%s/cgroup.procs", folder);
  write_text(path, "0\n");
}

void start_credentials(void) {
  static const struct Ids ids[] = {
      {"uid-1000", 1000, 1000, 1000, 1000, 1000, 1000},
      {"uid-mixed", 1001, 0, 1002, 1003, 1004, 1005},
      {"uid-effective", 0, 1000, 0, 0, 100, 0},
      {"uid-nobody", 65534, 65534, 65534, 65534, 65534, 65534},
      {"uid-large", 4000000000u, 4000000000u, 4000000000u, 4000000001u, 4000000001u, 4000000001u},
  };
  for (size_t i = 0; i < sizeof ids / sizeof *ids; ++i) spawn(ids[i].label, become, &ids[i]);
  spawn("fsuid", other_fsuid, NULL);
  spawn("few-capabilities", few_capabilities, NULL);
  spawn("seccomp", confined, NULL);
  spawn("session", own_session, NULL);
  spawn("terminal", on_terminal, NULL);
  mkdir("/sys/fs/cgroup/guest.slice", 0755);
  mkdir("/sys/fs/cgroup/guest.slice/odd name", 0755);
  spawn("cgroup", in_cgroup, "/sys/fs/cgroup/guest.slice");
  spawn("cgroup-nested", in_cgroup, "/sys/fs/cgroup/guest.slice/odd name");
}
