// The known workload of a test guest. Started without arguments it makes all
// scenarios, waits until every process of theirs sleeps, and writes the plan:
// one line per process, "pid <TAB> label". With arguments it is what one of the
// scenarios executes.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"

extern char** environ;

// As setproctitle does it: write over the arguments and, if that is not enough,
// over the environment behind them.
static void retitle(char** argv, const char* title) {
  char* start = argv[0];
  char* end = start + strlen(start) + 1;
  for (char** list = argv; *list; ++list)
    if (*list == end || *list == start) end = *list + strlen(*list) + 1;
  for (char** list = environ; *list; ++list)
    if (*list == end) end = *list + strlen(*list) + 1;
  memset(start, 0, (size_t)(end - start));
  snprintf(start, (size_t)(end - start), "%s", title);
}

// The kernel lets a process with CAP_SYS_RESOURCE say where its arguments lie.
static void move_arguments(void) {
  static char text[] = "moved by prctl\0to a page of its own";
  char* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return;
  memcpy(page, text, sizeof text);
  // Start and end must never cross, so the end goes first where it moves up.
  unsigned long start = (unsigned long)page;
  if (prctl(PR_SET_MM, PR_SET_MM_ARG_START, start, 0, 0) != 0) {
    prctl(PR_SET_MM, PR_SET_MM_ARG_END, start + sizeof text, 0, 0);
    prctl(PR_SET_MM, PR_SET_MM_ARG_START, start, 0, 0);
    return;
  }
  prctl(PR_SET_MM, PR_SET_MM_ARG_END, start + sizeof text, 0, 0);
}

static int run_role(int argc, char** argv) {
  const char* role = argc > 1 ? argv[1] : "park";  // argc may be 0 or 1 here
  const char* argument = argc > 2 ? argv[2] : "";
  if (strcmp(role, "unlink") == 0) unlink(argument);
  if (strcmp(role, "replace") == 0) {
    unlink(argument);
    copy_file("/bin/busybox", argument);
  }
  if (strcmp(role, "title") == 0) retitle(argv, "vitrine: worker process (12 clients, 3 idle)");
  if (strcmp(role, "longtitle") == 0)
    retitle(argv, "vitrine: a title longer than the arguments it writes over, so that it "
                  "goes on in the place where the environment was");
  if (strcmp(role, "moved") == 0) move_arguments();
  park();
}

static void prepare_mounts(void) {
  mkdir("/mnt", 0755);
  mkdir("/mnt/with space", 0755);
  mkdir("/mnt/bound", 0755);
  mkdir("/mnt/over", 0755);
  if (mount("odd\tsource", "/mnt/with space", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755"))
    note_failure("mount tmpfs");
  if (mount("/tmp", "/mnt/bound", NULL, MS_BIND, NULL)) note_failure("mount bind");
  mkdir("/mnt/with space/lower", 0755);
  mkdir("/mnt/with space/upper", 0755);
  mkdir("/mnt/with space/work", 0755);
  if (mount("overlay", "/mnt/over", "overlay", 0,
            "lowerdir=/mnt/with space/lower,upperdir=/mnt/with space/upper,workdir=/mnt/with space/work"))
    note_failure("mount overlay");
}

// Every process of every scenario has said so, or a minute has passed.
static int wait_for_all(int fd) {
  int seen = 0;
  while (seen < atomic_load(&board->expected)) {
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    if (poll(&entry, 1, 60000) <= 0) return -1;
    char bytes[256];
    ssize_t count = read(fd, bytes, sizeof bytes);
    if (count <= 0) return -1;
    seen += (int)count;
  }
  return 0;
}

static void write_plan(int complete) {
  FILE* plan = fopen("/run/workload.new", "w");
  if (!plan) return;
  fprintf(plan, "%d\tworkload\n", getpid());
  int count = atomic_load(&board->note_count);
  for (int i = 0; i < count && i < kMaxNotes; ++i)
    fprintf(plan, "%d\t%s\n", board->notes[i].pid, board->notes[i].label);
  if (!complete) fprintf(plan, "0\tnot all processes became ready\n");
  fclose(plan);
  rename("/run/workload.new", "/run/workload.plan");
}

int main(int argc, char** argv) {
  if (argc != 2 || strcmp(argv[1], "all") != 0) return run_role(argc, argv);
  board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int ends[2];
  if (board == MAP_FAILED || pipe(ends) != 0) return 1;
  if (dup2(ends[1], kReadyFd) < 0) return 1;
  close(ends[1]);
  // Children have no use for the reading end.
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  prepare_mounts();
  start_threads();
  start_trees();
  start_names();
  start_arguments();
  start_executables();
  start_namespaces();
  start_credentials();
  start_states();
  start_scheduling();
  start_files();
  start_memory();
  int complete = wait_for_all(ends[0]) == 0;
  write_plan(complete);
  close(kReadyFd);
  doze();
}
