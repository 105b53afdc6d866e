// The first process of a test guest: loads modules, starts the workload, has the
// truth written, says so on the console and goes to sleep - or does what the
// kernel command line asks for:
//   vitrine.load=fork        after the truth, processes come and go without end
//   vitrine.spin             after the truth, a busy user process on every CPU
//   vitrine.reboot=S[,N]     after the truth wait S seconds and reboot, N times (1)
//   vitrine.poweroff=S       after the truth wait S seconds and switch off
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"

static char command_line[4096];

static void put(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, text, strlen(text)) < 0) printf("vitrine: %s: %s\n", path, strerror(errno));
  close(fd);
}

static void sleep_ms(long milliseconds) {
  struct timespec rest = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
  while (nanosleep(&rest, &rest) != 0 && errno == EINTR) continue;
}

static int exists(const char* path) { return access(path, F_OK) == 0; }

static int wait_for(const char* path, int milliseconds) {
  for (int waited = 0; waited < milliseconds; waited += 10) {
    if (exists(path)) return 1;
    sleep_ms(10);
  }
  return exists(path);
}

// The value of a word of the command line ("" if it has none), or NULL.
static const char* option(const char* name) {
  size_t length = strlen(name);
  for (const char* at = strstr(command_line, name); at; at = strstr(at + 1, name)) {
    if (at != command_line && at[-1] != ' ') continue;
    if (at[length] == '=') return at + length + 1;
    if (at[length] == ' ' || at[length] == '\n' || at[length] == 0) return "";
  }
  return NULL;
}

static void mount_all(void) {
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  mkdir("/dev/pts", 0755);
  mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=666");
  mount("tmpfs", "/run", "tmpfs", 0, "mode=755");
  mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
  mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
}

// Each line of /etc/modules: a name, then its parameters.
static void load_modules(void) {
  FILE* list = fopen("/etc/modules", "re");
  char line[512];
  while (list && fgets(line, sizeof line, list)) {
    line[strcspn(line, "\n")] = 0;
    char* parameters = strchr(line, ' ');
    if (parameters) *parameters++ = 0;
    char path[600];
    snprintf(path, sizeof path, "/modules/%s.ko", line);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, parameters ? parameters : "", 0) != 0)
      printf("vitrine: module %s: %s\n", line, strerror(errno));
    if (fd >= 0) close(fd);
  }
  if (list) fclose(list);
}

static void loopback_up(void) {
  struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
  strcpy(request.ifr_name, "lo");
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) printf("vitrine: lo: %s\n", strerror(errno));
  if (fd >= 0) close(fd);
}

static pid_t start(char* const argv[]) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  if (null > 2) close(null);
  execv(argv[0], argv);
  _exit(127);
}

static void reap(void) {
  while (waitpid(-1, NULL, WNOHANG) > 0) continue;
}

// What udev names otherwise: the disk whose first bytes say that it is for this.
static const char* truth_disk(void) {
  static const char* const names[] = {"/dev/vda", "/dev/vdb", "/dev/sda"};
  for (int waited = 0; waited < 10000; waited += 20) {
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
      struct DiskHeader header;
      int fd = open(names[i], O_RDONLY | O_CLOEXEC);
      if (fd < 0) continue;
      ssize_t got = read(fd, &header, sizeof header);
      close(fd);
      if (got == sizeof header && memcmp(header.magic, kDiskMagic, sizeof header.magic) == 0) return names[i];
    }
    sleep_ms(20);
  }
  return NULL;
}

static uint64_t boots_so_far(const char* disk) {
  struct DiskHeader header;
  memset(&header, 0, sizeof header);
  int fd = disk ? open(disk, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return 1;
  if (read(fd, &header, sizeof header) != sizeof header) header.boots = 1;
  close(fd);
  return header.boots;
}

static void child_of_load(unsigned seed) {
  char name[16];
  snprintf(name, sizeof name, "short-%u", seed);
  prctl(PR_SET_NAME, name, 0, 0, 0);
  sleep_ms(seed % 37);
  if (seed % 5 == 0 && fork() == 0) {
    sleep_ms(seed % 11);
    _exit(0);
  }
  _exit((int)(seed % 256));
}

// At most kAlive children at a time, so that the guest stays usable.
static void fork_forever(void) {
  enum { kAlive = 32 };
  prctl(PR_SET_NAME, "load-fork", 0, 0, 0);
  int alive = 0;
  for (unsigned seed = 1;; seed = seed * 1103515245u + 12345u) {
    pid_t pid = fork();
    if (pid == 0) child_of_load(seed >> 8);
    if (pid > 0) ++alive;
    while (alive > 0 && waitpid(-1, NULL, alive >= kAlive || pid < 0 ? 0 : WNOHANG) > 0) --alive;
  }
}

static void spin_forever(long cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET((size_t)cpu, &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
  char name[32];
  snprintf(name, sizeof name, "spin-%ld", cpu);
  prctl(PR_SET_NAME, name, 0, 0, 0);
  for (volatile uint64_t turns = 0;; ++turns) continue;
}

static void do_as_asked(const char* disk) {
  const char* load = option("vitrine.load");
  if (load && strncmp(load, "fork", 4) == 0 && fork() == 0) fork_forever();
  long cpus = option("vitrine.spin") ? sysconf(_SC_NPROCESSORS_ONLN) : 0;
  for (long cpu = 0; cpu < cpus; ++cpu)
    if (fork() == 0) spin_forever(cpu);
  const char* off = option("vitrine.poweroff");
  const char* again = option("vitrine.reboot");
  if (off) {
    sleep_ms(1000 * atol(off));
    reboot(RB_POWER_OFF);
  }
  if (!again) return;
  const char* comma = strchr(again, ',');
  const char* space = strchr(again, ' ');
  uint64_t times = comma && (!space || comma < space) ? strtoull(comma + 1, NULL, 10) : 1;
  if (boots_so_far(disk) > times) return;
  sleep_ms(1000 * atol(again));
  reboot(RB_AUTOBOOT);
}

int main(void) {
  mount_all();
  int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && read(fd, command_line, sizeof command_line - 1) < 0) command_line[0] = 0;
  if (fd >= 0) close(fd);
  setvbuf(stdout, NULL, _IOLBF, 0);
  setenv("PATH", "/bin", 1);
  put("/proc/sys/kernel/kptr_restrict", "0");
  put("/proc/sys/kernel/dmesg_restrict", "0");
  put("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
  if (sethostname("vitrine-guest", 13) != 0) printf("vitrine: hostname: %s\n", strerror(errno));
  load_modules();
  loopback_up();
  start((char*[]){"/bin/workload", "all", NULL});
  if (!wait_for("/run/workload.plan", 120000)) printf("vitrine: the workload did not become ready\n");
  // Kernel threads that were woken for all this go back to sleep.
  sleep_ms(250);
  reap();
  const char* disk = truth_disk();
  if (disk) {
    start((char*[]){"/bin/collect", (char*)disk, NULL});
    if (!wait_for("/run/collected", 120000)) printf("vitrine: the truth could not be written\n");
  }
  printf("vitrine: ready%s\n", disk ? "" : " (no disk for the truth)");
  do_as_asked(disk);
  for (;;) {
    if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD) pause();
  }
}
