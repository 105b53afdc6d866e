// Threads, trees, names and states of tasks.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

enum { kDepth = 45, kWide = 24, kThreadStack = 32 * 1024 };

static pthread_barrier_t threads_named;

static void* sleep_as(void* name) {
  set_comm(name);
  pthread_barrier_wait(&threads_named);
  doze();
}

// A thread may have credentials of its own: the C library keeps them together,
// the system call does not.
static void* sleep_as_other_user(void* name) {
  set_comm(name);
  syscall(SYS_setresgid, 2002, 2002, 2002);
  syscall(SYS_setresuid, 2001, 2001, 2001);
  pthread_barrier_wait(&threads_named);
  doze();
}

static void make_threads(const char* const* names, unsigned count, void* (*body)(void*)) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kThreadStack);
  pthread_barrier_init(&threads_named, NULL, count + 1);
  for (unsigned i = 0; i < count; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, body, (void*)names[i]) != 0) _exit(96);
  }
  pthread_barrier_wait(&threads_named);
}

static void many_threads(const void* unused) {
  (void)unused;
  static const char* const names[] = {"acceptor",        "io-worker/0",   "io-worker/1",  "io-worker/2",
                                      "fifteen-letters", "thr\xc3\xa9\xc3\xa4""d", "", "gc (idle) x"};
  set_comm("many-threads");
  make_threads(names, sizeof names / sizeof *names, sleep_as);
}

static void thread_of_other_user(const void* unused) {
  (void)unused;
  static const char* const names[] = {"other-user"};
  set_comm("mixed-creds");
  make_threads(names, 1, sleep_as_other_user);
}

static void leader_gone(const void* unused) {
  (void)unused;
  static const char* const names[] = {"survivor-1", "survivor-2"};
  set_comm("leader-gone");
  make_threads(names, 2, sleep_as);
  ready();
  syscall(SYS_exit, 3);
}

static void executing_thread(const void* unused) {
  (void)unused;
  static const char* const names[] = {"lost-at-exec"};
  make_threads(names, 1, sleep_as);
  char* argv[] = {"after-threads", "park", NULL};
  char* envp[] = {NULL};
  exec_self("/bin/workload", argv, envp);
}

void start_threads(void) {
  spawn("threads", many_threads, NULL);
  spawn("thread-creds", thread_of_other_user, NULL);
  spawn("leader-exited", leader_gone, NULL);
  spawn("exec-from-threads", executing_thread, NULL);
}

static void descend(const void* argument) {
  int level = *(const int*)argument;
  char name[32];
  snprintf(name, sizeof name, "deep-%02d", level);
  set_comm(name);
  if (level + 1 >= kDepth) return;
  int next = level + 1;
  snprintf(name, sizeof name, "deep-%02d", next);
  spawn(name, descend, &next);
}

static void leaf(const void* name) { set_comm(name); }

static void spread(const void* unused) {
  (void)unused;
  set_comm("wide-parent");
  for (int i = 0; i < kWide; ++i) {
    char name[32];
    snprintf(name, sizeof name, "wide-%02d", i);
    spawn(name, leaf, name);
  }
}

// Its parent ends at once, so init becomes the parent.
static void orphan_maker(const void* unused) {
  (void)unused;
  spawn("orphan", leaf, "orphan");
  ready();
  _exit(0);
}

void start_trees(void) {
  int level = 0;
  spawn("deep-00", descend, &level);
  spawn("wide", spread, NULL);
  pid_t maker = spawn("orphan-maker (ended)", orphan_maker, NULL);
  if (maker > 0) waitpid(maker, NULL, 0);
}

void start_names(void) {
  static const char* const names[][2] = {
      {"name-space", "has space in"},
      {"name-newline", "new\nline"},
      {"name-tab", "tab\tbed"},
      {"name-utf8", "\xc3\xbcn\xc3\xaf\xc3\xa7\xc3\xb8" "d\xc3\xab"},
      {"name-cjk", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
      {"name-utf8-cut", "fourteen-long\xe6\x97\xa5"},
      {"name-bad-utf8", "\xff\xfe\x80" "bad\xc3"},
      {"name-escape", "\x1b[31mred\x1b[0m"},
      {"name-title-escape", "\x1b]0;pwned\x07"},
      {"name-parens", "(a) b) (c"},
      {"name-fake-stat", ") R 1 1 1 0 -1"},
      {"name-fifteen", "exactly15chars_"},
      {"name-longer", "this-name-is-much-longer-than-fits"},
      {"name-empty", ""},
      {"name-quote", "it's \"quoted\""},
      {"name-backslash", "back\\slash\\n"},
      {"name-percent", "%s%n%x"},
      {"name-comma", "a,b;c|d"},
      {"name-formula", "=1+1"},
      {"name-markup", "<b>&amp;</b>"},
      {"name-control", "\x01\x02\x7f\xc2\x9b"},
      {"name-kernel", "kworker/0:9-ev"},
      {"name-rtl", "\xe2\x80\xae" "evil"},
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) spawn(names[i][0], leaf, names[i][1]);
}

static void zombie_parent(const void* unused) {
  (void)unused;
  set_comm("zombie-parent");
  static const char* const labels[] = {"zombie-0", "zombie-42", "zombie-killed"};
  for (int i = 0; i < 3; ++i) {
    pid_t pid = fork();
    if (pid == 0) {
      set_comm(labels[i]);
      if (i == 2) raise(SIGKILL);
      _exit(i * 42);
    }
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    note_pid(labels[i], pid);
  }
}

static void stop_self(const void* unused) {
  (void)unused;
  set_comm("stopped");
  ready();
  raise(SIGSTOP);
  doze();
}

static void tracer(const void* unused) {
  (void)unused;
  set_comm("tracer");
  pid_t pid = fork();
  if (pid == 0) {
    set_comm("traced");
    close(kReadyFd);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    doze();
  }
  waitpid(pid, NULL, WUNTRACED);
  note_pid("traced", pid);
}

// The parent of a vfork sleeps uninterruptibly until the child executes or ends.
static void vfork_parent(const void* unused) {
  (void)unused;
  set_comm("vfork-parent");
  pid_t pid = vfork();
  if (pid == 0) {
    set_comm("vfork-child");
    note("vfork-child");
    park();
  }
}

void start_states(void) {
  spawn("zombies", zombie_parent, NULL);
  spawn("stopped", stop_self, NULL);
  spawn("tracer", tracer, NULL);
  spawn("vfork-parent", vfork_parent, NULL);
}

struct Policy {
  const char* label;
  int policy, priority, nice;
};

static void schedule(const void* argument) {
  const struct Policy* wanted = argument;
  set_comm(wanted->label);
  struct sched_param parameter = {.sched_priority = wanted->priority};
  if (sched_setscheduler(0, wanted->policy, &parameter) != 0) note_failure(wanted->label);
  if (wanted->nice && setpriority(PRIO_PROCESS, 0, wanted->nice) != 0) note_failure(wanted->label);
}

static void pin(const void* unused) {
  (void)unused;
  set_comm("pinned");
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(0, &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) note_failure("pinned");
}

void start_scheduling(void) {
  static const struct Policy policies[] = {
      {"nice-20", SCHED_OTHER, 0, -20}, {"nice+19", SCHED_OTHER, 0, 19}, {"fifo-10", SCHED_FIFO, 10, 0},
      {"rr-5", SCHED_RR, 5, 0},         {"batch", SCHED_BATCH, 0, 5},    {"idle", SCHED_IDLE, 0, 0},
  };
  for (size_t i = 0; i < sizeof policies / sizeof *policies; ++i)
    spawn(policies[i].label, schedule, &policies[i]);
  spawn("pinned", pin, NULL);
}
