#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

struct Board* board;

void set_comm(const char* name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

void note_pid(const char* label, int pid) {
  int index = atomic_fetch_add(&board->note_count, 1);
  if (index >= kMaxNotes) return;
  board->notes[index].pid = pid;
  snprintf(board->notes[index].label, kLabelSize, "%s", label);
}

// getpid() answers in the caller's pid namespace; the one that mounted /proc is
// the namespace all truth is told in.
void note(const char* label) {
  char text[32] = "";
  ssize_t length = readlink("/proc/self", text, sizeof text - 1);
  note_pid(label, length > 0 ? atoi(text) : 0);
}

void note_failure(const char* label) {
  char text[kLabelSize];
  snprintf(text, sizeof text, "%.32s: %.20s", label, strerror(errno));
  note_pid(text, 0);
}

void expect_one_more(void) { atomic_fetch_add(&board->expected, 1); }

void ready(void) {
  char byte = 'r';
  if (write(kReadyFd, &byte, 1) != 1) _exit(97);
  close(kReadyFd);
}

void doze(void) {
  for (;;) pause();
}

void park(void) {
  ready();
  doze();
}

pid_t spawn(const char* label, Body body, const void* argument) {
  expect_one_more();
  pid_t pid = fork();
  if (pid < 0) {
    note_failure(label);
    atomic_fetch_sub(&board->expected, 1);
    return -1;
  }
  if (pid > 0) return pid;
  note(label);
  body(argument);
  park();
}

int copy_file(const char* from, const char* to) {
  int in = open(from, O_RDONLY | O_CLOEXEC);
  int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  struct stat info;
  int failed = in < 0 || out < 0 || fstat(in, &info) != 0;
  while (!failed) {
    ssize_t sent = sendfile(out, in, NULL, (size_t)info.st_size);
    if (sent < 0) failed = 1;
    if (sent <= 0) break;
  }
  if (in >= 0) close(in);
  if (out >= 0 && close(out) != 0) failed = 1;
  return failed ? -1 : 0;
}

void write_text(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return;
  ssize_t written = write(fd, text, strlen(text));
  if (written < 0) note_failure(path);
  close(fd);
}

// Returns only on failure, and then the process parks as the fork it is.
void exec_self(const char* path, char* const argv[], char* const envp[]) {
  execve(path, argv, envp);
  note_failure(path);
}
