// The truth disk: one header, then entries one after the other. All numbers are
// little-endian; entries start at multiples of 8.
#pragma once

#include <stdint.h>

static const char kDiskMagic[8] = {'V', 'T', 'R', 'U', 'T', 'H', '1', '\n'};

enum { kPayloadOffset = 4096, kBlock = 4096 };

enum DiskState {
  kEmpty = 0,     // as the host made it, or the guest is writing
  kComplete = 1,  // written last, after everything else is on the disk
  kFailed = 2,    // the guest ran out of disk or could not write
};

struct DiskHeader {
  char magic[8];
  uint32_t version;
  uint32_t state;
  uint64_t payload_size;
  uint64_t entry_count;
  uint64_t checksum;  // 64-bit FNV-1a over the payload
  uint64_t boots;     // how often a guest has started writing here
  uint32_t collector; // process id of the writer
  uint32_t reserved;
};

// Before each entry; the name and the content follow, and zeros up to a multiple of 8.
struct EntryHeader {
  uint32_t kind;  // 'f' content of a file, 'l' target of a link, 'e' error number as text
  uint32_t name_size;
  uint64_t size;
};
