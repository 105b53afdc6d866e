// Writes what the guest knows about itself to a raw disk, then sleeps on, so that
// whoever looks in from outside finds it, too, where the process list names it.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"

enum { kBuffer = 1 << 20, kPath = 4096, kPiece = 1 << 16 };

// Past the page cache: the guest's memory shall not fill with copies of this.
static struct {
  int fd;
  char* buffer;
  size_t used;
  uint64_t offset, size, entries, checksum;
  int failed;
} out = {.fd = -1, .offset = kPayloadOffset, .checksum = 0xcbf29ce484222325u};

// A path that does not fit would name something else: better no truth than that.
static void join(char path[kPath], const char* folder, const char* name) {
  int length = snprintf(path, kPath, "%s/%s", folder, name);
  if (length < 0 || length >= kPath) _exit(3);
}

static void flush(size_t length) {
  for (size_t done = 0; done < length && !out.failed;) {
    ssize_t wrote = pwrite(out.fd, out.buffer + done, length - done, (off_t)(out.offset + done));
    if (wrote <= 0) out.failed = 1;
    else done += (size_t)wrote;
  }
  out.offset += length;
  out.used = 0;
}

static void emit(const void* data, size_t length) {
  const char* bytes = data;
  for (size_t i = 0; i < length; ++i) out.checksum = (out.checksum ^ (uint8_t)bytes[i]) * 0x100000001b3u;
  out.size += length;
  while (length > 0) {
    size_t part = length < kBuffer - out.used ? length : kBuffer - out.used;
    memcpy(out.buffer + out.used, bytes, part);
    out.used += part;
    bytes += part;
    length -= part;
    if (out.used == kBuffer) flush(kBuffer);
  }
}

static void add(uint32_t kind, const char* name, const void* data, size_t length) {
  static const char zeros[8];
  struct EntryHeader header = {.kind = kind, .name_size = (uint32_t)strlen(name), .size = length};
  emit(&header, sizeof header);
  emit(name, header.name_size);
  emit(data, length);
  emit(zeros, (8 - (header.name_size + length) % 8) % 8);
  ++out.entries;
}

static void add_error(const char* name, int error) {
  char text[16];
  add('e', name, text, (size_t)snprintf(text, sizeof text, "%d", error));
}

static void add_text(const char* name, const char* format, ...) __attribute__((format(printf, 2, 3)));
static void add_text(const char* name, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  add('f', name, text, (size_t)length);
}

// Whole files, read before anything of them is written: their size is not known.
// In small pieces, since /proc/sys allocates as much as is asked for.
static void add_file(const char* path) {
  static char* content;
  static size_t room;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    add_error(path, errno);
    return;
  }
  size_t length = 0;
  ssize_t got = 0;
  do {
    if (room - length < kPiece) content = realloc(content, room = room ? 2 * room : 1 << 18);
    got = read(fd, content + length, kPiece);
    if (got > 0) length += (size_t)got;
  } while (got > 0);
  int error = errno;
  close(fd);
  if (got < 0 && length == 0) add_error(path, error);
  else add('f', path, content, length);
}

static void add_link(const char* path) {
  char target[kPath];
  ssize_t length = readlink(path, target, sizeof target);
  if (length < 0) add_error(path, errno);
  else add('l', path, target, (size_t)length);
}

// Calls `visit` for each name in a folder, in the order of the folder.
static void each(const char* folder, void (*visit)(const char* folder, const char* name)) {
  DIR* directory = opendir(folder);
  if (!directory) return;
  for (struct dirent* entry; (entry = readdir(directory));)
    if (entry->d_name[0] != '.') visit(folder, entry->d_name);
  closedir(directory);
}

static void add_file_of(const char* folder, const char* name) {
  char path[kPath];
  join(path, folder, name);
  struct stat info;
  if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) add_file(path);
}

static void add_link_of(const char* folder, const char* name) {
  char path[kPath];
  join(path, folder, name);
  add_link(path);
}

static void add_name_of(const char* folder, const char* name) {
  char path[kPath];
  join(path, folder, name);
  add('f', path, "", 0);
}

static void add_named_files(const char* folder, const char* const* names) {
  for (; *names; ++names) {
    char path[kPath];
    join(path, folder, *names);
    add_file(path);
  }
}

static int is_number(const char* text) { return text[0] >= '0' && text[0] <= '9'; }

// Virtual address and pagemap entry of every page that is there (2 x 8 bytes each).
static void add_pagemap(const char* folder) {
  enum { kMost = 4096, kPages = 8192 };
  static uint64_t entries[kMost], pairs[2 * kPages];
  char path[kPath], line[kPath];
  join(path, folder, "pagemap");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  join(path, folder, "maps");
  FILE* maps = fopen(path, "re");
  size_t count = 0;
  unsigned long first, last;
  while (fd >= 0 && maps && fgets(line, sizeof line, maps)) {
    if (sscanf(line, "%lx-%lx", &first, &last) != 2) continue;
    size_t pages = (last - first) / 4096;
    if (pages > kMost) pages = kMost;
    ssize_t got = pread(fd, entries, pages * 8, (off_t)(first / 4096 * 8));
    for (ssize_t i = 0; i < got / 8 && count < kPages; ++i) {
      if (!(entries[i] >> 63)) continue;
      pairs[2 * count] = first + (uint64_t)i * 4096;
      pairs[2 * count++ + 1] = entries[i];
    }
  }
  if (maps) fclose(maps);
  if (fd >= 0) close(fd);
  join(path, folder, "pagemap.present");
  if (count) add('f', path, pairs, 16 * count);
}

static void add_thread(const char* folder, const char* name) {
  static const char* const files[] = {"stat", "status", "comm", "children", NULL};
  char path[kPath];
  join(path, folder, name);
  add_named_files(path, files);
}

static void add_process(const char* folder, const char* name) {
  static const char* const files[] = {"stat",   "status",        "comm",    "cmdline", "cgroup",        "maps",  "environ",
                                      "limits", "oom_score_adj", "uid_map", "gid_map", "timens_offsets", "auxv", "wchan", NULL};
  static const char* const links[] = {"exe", "cwd", "root"};
  if (!is_number(name)) return;
  char path[kPath], below[kPath];
  join(path, folder, name);
  add_named_files(path, files);
  for (size_t i = 0; i < sizeof links / sizeof *links; ++i) add_link_of(path, links[i]);
  join(below, path, "ns");
  each(below, add_link_of);
  join(below, path, "fd");
  each(below, add_link_of);
  join(below, path, "fdinfo");
  each(below, add_file_of);
  join(below, path, "mountinfo");
  add_file(below);
  join(below, path, "task");
  each(below, add_thread);
  add_pagemap(path);
}

static void add_module(const char* folder, const char* name) {
  static const char* const files[] = {"coresize", "initsize", "initstate", "refcnt", "taint", "version", "srcversion", NULL};
  static const char* const sections[] = {".text",    ".init.text", ".data",      ".bss", ".rodata", ".gnu.linkonce.this_module",
                                         "__ksymtab", "__param",    ".exit.text", NULL};
  char path[kPath], below[kPath];
  join(path, folder, name);
  join(below, path, "coresize");
  if (access(below, F_OK) != 0) return;  // built in
  add_named_files(path, files);
  join(below, path, "sections");
  add_named_files(below, sections);
  join(below, path, "parameters");
  each(below, add_file_of);
  join(below, path, "holders");
  each(below, add_name_of);
}

static FILE* listing;

static void list_thread(const char* folder, const char* name) {
  char path[kPath], thread[kPath], text[2048];
  join(thread, folder, name);
  join(path, thread, "stat");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
  if (fd >= 0) close(fd);
  if (got <= 0) return;
  text[got] = 0;
  // The name may hold anything, so count the fields from its last parenthesis.
  char* at = strrchr(text, ')');
  for (int field = 2; at && field < 22; ++field) at = strchr(at + 1, ' ');
  fprintf(listing, "%d %s %llu\n", atoi(folder + strlen("/proc/")), name, at ? strtoull(at + 1, NULL, 10) : 0);
}

static void list_process(const char* folder, const char* name) {
  char path[kPath], process[kPath];
  if (!is_number(name)) return;
  join(process, folder, name);
  join(path, process, "task");
  each(path, list_thread);
}

// "process thread start-time" of all that is; made at the beginning and at the
// end, so that a reader knows what came and went meanwhile.
static void add_listing(const char* name) {
  char* text = NULL;
  size_t length = 0;
  listing = open_memstream(&text, &length);
  each("/proc", list_process);
  fclose(listing);
  add('f', name, text, length);
  free(text);
}

static void add_clocks(const char* name) {
  struct timespec real, monotonic, boot;
  clock_gettime(CLOCK_REALTIME, &real);
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  add_text(name, "realtime %lld.%09ld\nmonotonic %lld.%09ld\nboottime %lld.%09ld\n", (long long)real.tv_sec, real.tv_nsec,
           (long long)monotonic.tv_sec, monotonic.tv_nsec, (long long)boot.tv_sec, boot.tv_nsec);
}

static void add_system(void) {
  static const char* const proc[] = {
      "modules", "kallsyms", "version", "cmdline", "uptime", "stat", "mounts", "iomem", "ioports", "meminfo", "cpuinfo",
      "interrupts", "slabinfo", "vmallocinfo", "filesystems", "devices", "partitions", "zoneinfo", "buddyinfo",
      "vmstat", "cgroups", "locks", "crypto", "consoles", "keys", "bus/pci/devices", NULL};
  static const char* const net[] = {"tcp", "tcp6", "udp", "udp6", "unix", "raw", "raw6", "netlink", "packet", "dev", "route",
                                    "if_inet6", "sockstat", "protocols", NULL};
  static const char* const sysctl[] = {"osrelease", "version", "ostype", "hostname", "random/boot_id", "tainted", "pid_max",
                                       "threads-max", "randomize_va_space", "modprobe", "core_pattern", NULL};
  static const char* const sys[] = {"notes", "vmcoreinfo", "kexec_crash_size", "fscaps", "mm/transparent_hugepage/enabled",
                                    "security/lsm", NULL};
  add_named_files("/proc", proc);
  add_named_files("/proc/net", net);
  add_named_files("/proc/sys/kernel", sysctl);
  add_named_files("/sys/kernel", sys);
  add_file("/proc/self/mountinfo");
  add_file("/run/workload.plan");
  each("/sys/kernel/btf", add_file_of);
  each("/sys/module", add_module);
  each("/sys/devices/system/cpu/vulnerabilities", add_file_of);
  static char log[1 << 20];
  int length = klogctl(3 /* read all */, log, sizeof log);
  if (length > 0) add('f', "dmesg", log, (size_t)length);
  struct utsname name;
  if (uname(&name) == 0) add_text("uname", "%s\n%s\n%s\n%s\n%s\n", name.sysname, name.nodename, name.release, name.version, name.machine);
}

static int write_header(struct DiskHeader* header) {
  memset(out.buffer, 0, kBlock);
  memcpy(out.buffer, header, sizeof *header);
  return pwrite(out.fd, out.buffer, kBlock, 0) == kBlock && fsync(out.fd) == 0;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  out.buffer = mmap(NULL, kBuffer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  out.fd = open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
  if (out.buffer == MAP_FAILED || out.fd < 0 || pread(out.fd, out.buffer, kBlock, 0) != kBlock) return 1;
  struct DiskHeader header;
  memcpy(&header, out.buffer, sizeof header);
  header.state = kEmpty;
  header.version = 1;
  header.boots += 1;
  header.collector = (uint32_t)getpid();
  if (!write_header(&header)) return 1;
  add_text("collector", "%d\n", getpid());
  add_clocks("clocks.start");
  add_system();
  add_listing("tasks.before");
  each("/proc", add_process);
  add_listing("tasks.after");
  add_clocks("clocks");
  memset(out.buffer + out.used, 0, kBuffer - out.used);
  flush((out.used + kBlock - 1) / kBlock * kBlock);
  header.state = out.failed || fsync(out.fd) != 0 ? kFailed : kComplete;
  header.payload_size = out.size;
  header.entry_count = out.entries;
  header.checksum = out.checksum;
  int written = write_header(&header);
  close(out.fd);
  close(open("/run/collected", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  while (written) pause();
  return 1;
}
