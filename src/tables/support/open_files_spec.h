// The columns of the table `process_open_files`, its examples and what holds of it.
#pragma once

#include <array>

#include "vitrine/query/table.h"

namespace vitrine::open_files_table {

enum : std::size_t {
    kPid,
    kFd,
    kPath,
    kDeleted,
    kType,
    kFlags,
    kCloseOnExec,
    kPosition,
    kMode,
    kUid,
    kGid,
    kSize,
    kLinks,
    kInode,
    kDevice,
    kSpecialDevice,
    kMountId,
    kFsType,
    kReferences,
    kAllocated,
    kFile,
    kOperations,
    kDentryAddress,
    kInodeAddress,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    index({"pid", ColumnType::integer, "process id in the initial pid namespace"}),
    {"fd", ColumnType::integer, "file descriptor"},
    {"path", ColumnType::text,
     "what readlink of /proc/PID/fd/FD gives: a path, pipe:[INODE], socket:[INODE], anon_inode:[KIND]; with \" "
     "(deleted)\""},
    {"deleted", ColumnType::boolean, "1: in no directory (any more): unlinked, or a memfd"},
    {"type", ColumnType::text, "regular, directory, symlink, chr, blk, fifo, socket or anon_inode"},
    {"flags", ColumnType::text, "flags of open(2) joined by |, as fdinfo has them"},
    {"close_on_exec", ColumnType::boolean, "1: the descriptor is closed on execve (FD_CLOEXEC)"},
    {"pos", ColumnType::integer, "offset of the next read or write", Unit::bytes},
    {"mode", ColumnType::text, "permission bits of the file, octal"},
    {"uid", ColumnType::integer, "user id of the file's owner"},
    {"gid", ColumnType::integer, "group id of the file"},
    {"size", ColumnType::integer, "size of the file", Unit::bytes},
    {"nlink", ColumnType::integer, "number of directory entries of the file"},
    {"inode", ColumnType::integer, "inode number"},
    {"device", ColumnType::text, "major:minor of the file system the file is in"},
    {"rdev", ColumnType::text, "major:minor of the device that a chr or blk file is; NULL for others"},
    {"mount_id", ColumnType::integer, "mount the file was opened through (mnt_id; 0: one of the kernel's own)"},
    {"fs_type", ColumnType::text, "type of the file system"},
    {"refcount", ColumnType::integer,
     "references to struct file: descriptors that share it, mappings, users in the kernel"},
    {"allocated", ColumnType::boolean,
     "1: the table's bitmap has the descriptor as in use, as it has that of every open file; 0: tampered with"},
    {"file", ColumnType::address, "address of struct file"},
    {"operations", ColumnType::address, "address of struct file_operations"},
    {"dentry", ColumnType::address, "address of struct dentry"},
    {"inode_address", ColumnType::address, "address of struct inode"},
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({
    "vitrine table process_open_files qemu:web1",
    "vitrine table process_open_files memory.img --columns pid,fd,flags,path",
});
constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT pid, fd, path, size FROM process_open_files WHERE deleted = 1 AND type = 'regular'",
    "SELECT p.name, f.fd, f.path FROM processes p JOIN process_open_files f USING (pid) WHERE f.path LIKE '/dev/vd%'",
    "SELECT path, count(*) AS users FROM process_open_files GROUP BY path ORDER BY users DESC LIMIT 10",
});
constexpr auto kInvariants = std::to_array<Invariant>({
    {"a descriptor is listed once", "SELECT pid, fd FROM process_open_files GROUP BY pid, fd HAVING count(*) > 1"},
    {"each open file's descriptor is in use", "SELECT pid, fd FROM process_open_files WHERE allocated = 0"},
    {"who has a file open has a row in processes",
     "SELECT pid, fd FROM process_open_files WHERE pid NOT IN (SELECT pid FROM processes)"},
    {"an open file is referred to", "SELECT pid, fd FROM process_open_files WHERE refcount < 1"},
});

}  // namespace vitrine::open_files_table
