// Shared by the parts of the workload: how processes are made, noted down and put to sleep.
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

// Processes say "set up" by one byte on this descriptor; it survives exec.
enum { kReadyFd = 250, kMaxNotes = 512, kLabelSize = 56 };

struct Note {
  int pid;  // 0: the scenario could not be set up, the label says why
  char label[kLabelSize];
};

// One page range shared by every process that was only forked.
struct Board {
  atomic_int expected;
  atomic_int note_count;
  struct Note notes[kMaxNotes];
};

extern struct Board* board;

typedef void (*Body)(const void* argument);

void set_comm(const char* name);
void note(const char* label);
void note_pid(const char* label, int pid);
void note_failure(const char* label);
void expect_one_more(void);
void ready(void);
_Noreturn void doze(void);
_Noreturn void park(void);
pid_t spawn(const char* label, Body body, const void* argument);
int copy_file(const char* from, const char* to);
void write_text(const char* path, const char* text);
void exec_self(const char* path, char* const argv[], char* const envp[]);

void start_threads(void);
void start_trees(void);
void start_names(void);
void start_arguments(void);
void start_executables(void);
void start_namespaces(void);
void start_credentials(void);
void start_states(void);
void start_scheduling(void);
void start_files(void);
void start_memory(void);
