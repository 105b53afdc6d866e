// Names of directory entries that no lookup can have made, and those of objects that are in no directory.
#include "os/linux/path.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <stdexcept>

#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

using linux_os::Layout;
using ::testing::HasSubstr;

struct NamedExecutable {
    NamedExecutable() : made(description()), task(damage::user_task(made)) {
        const Gva path = made.member(task.exe_file, "file.f_path");
        leaf = Gva{made.get<std::uint64_t>(made.member(path, "path.dentry"))};
    }
    static GuestDescription description() {
        GuestDescription d;
        d.types.seed = 130;
        return d;
    }
    void name(std::string_view text) {
        const Gva at = made.alloc(text.size() + 1, 8);
        made.put_text(at, text);
        made.set(made.member(leaf, "dentry.d_name"), "qstr.name", at);
        made.set32(made.member(leaf, "dentry.d_name"), "qstr.len", static_cast<std::uint32_t>(text.size()));
    }
    // Its own parent, of a file system of that name.
    void put_in_no_directory(const std::string& file_system) {
        made.set(leaf, "dentry.d_parent", leaf);
        const Gva sb = made.alloc(made.types.size("super_block"));
        const Gva type = made.alloc(made.types.size("file_system_type"));
        const Gva text = made.alloc(16, 8);
        made.put_string(text, file_system);
        made.set(type, "file_system_type.name", text);
        made.set(sb, "super_block.s_type", type);
        made.set(leaf, "dentry.d_sb", sb);
    }
    // An inode with the number 4711 that belongs to a mount namespace.
    void put_inode() {
        const Gva inode = made.alloc(made.types.size("inode"));
        const Gva ns = made.alloc(made.types.size("ns_common"));
        const Gva operations = made.alloc(made.types.size("proc_ns_operations"));
        const Gva kind = made.alloc(8);
        made.put_string(kind, "mnt");
        made.set(operations, "proc_ns_operations.name", kind);
        made.set(ns, "ns_common.ops", operations);
        made.set(inode, "inode.i_private", ns);
        made.set(inode, "inode.i_ino", 4711);
        made.set(leaf, "dentry.d_inode", inode);
    }
    Answer processes() {
        auto guest = attach(made.machine(made.vcpus()));
        if (!guest) throw std::logic_error(guest.error().to_string());
        return ask(**guest, "processes");
    }
    [[nodiscard]] std::size_t row() const { return static_cast<std::size_t>(task.pid) - 1; }

    SyntheticGuest made;
    const SyntheticTask task;
    Gva leaf;
};

TEST(Paths, ImpossibleNamesOfEntriesAreRefused) {
    using namespace std::string_view_literals;
    for (const std::string_view name : {"../../bin/ls"sv, "a/b"sv, "/"sv, ""sv, "."sv, ".."sv, "a\0b"sv}) {
        NamedExecutable executable;
        executable.name(name);
        const Answer answer = executable.processes();
        EXPECT_EQ(answer.end(), WalkEnd::complete);
        EXPECT_EQ(answer.rows.at(executable.row(), "path"), Value()) << name;
        EXPECT_EQ(answer.rows.at(executable.row(), "on_disk"), Value()) << name;
        EXPECT_THAT(answer.rows.all_diagnostics(),
                    HasSubstr(fmt::format("pid {}: executable's path", executable.task.pid)));
    }
}

TEST(Paths, OddButPossibleNamesAreGiven) {
    for (const std::string_view name : {"...", ".hidden", "a b", "\n", "\xff\xfe", "\\"}) {
        NamedExecutable executable;
        executable.name(name);
        EXPECT_THAT(executable.processes().rows.text(executable.row(), "path"), HasSubstr("/bin/" + std::string(name)));
    }
}

// memfd_create() takes any name; /proc/PID/exe shows it behind one slash.
TEST(Paths, ObjectsInNoDirectoryMayHaveASlashInTheirName) {
    for (const std::string_view name : {"memfd:a/b", "memfd:", "dev/zero", "SYSV00000000"}) {
        NamedExecutable executable;
        executable.put_in_no_directory("tmpfs");
        executable.name(name);
        const Answer answer = executable.processes();
        EXPECT_EQ(answer.rows.text(executable.row(), "path"), "/" + std::string(name));
        EXPECT_EQ(answer.rows.integer(executable.row(), "on_disk"), 0);
    }
}

// Their file system says what /proc prints of them, whatever the name of the entry is.
TEST(Paths, ObjectsOfTheKernelAreNamedByTheirFileSystem) {
    const std::pair<const char*, const char*> kinds[] = {{"anon_inodefs", "anon_inode:[kind]"},
                                                         {"pidfs", "anon_inode:[pidfd]"},
                                                         {"pipefs", "pipe:[4711]"},
                                                         {"sockfs", "socket:[4711]"}};
    for (const auto& [file_system, text] : kinds) {
        NamedExecutable executable;
        executable.name("[kind]");
        executable.put_in_no_directory(file_system);
        executable.put_inode();
        const Answer answer = executable.processes();
        EXPECT_EQ(answer.rows.text(executable.row(), "path"), text);
        EXPECT_EQ(answer.rows.integer(executable.row(), "on_disk"), 1);
    }
}

TEST(Paths, FilesOfNamespacesAreNamedByTheirKind) {
    NamedExecutable executable;
    executable.put_in_no_directory("nsfs");
    executable.put_inode();
    auto guest = attach(executable.made.machine(executable.made.vcpus()));
    ASSERT_TRUE(guest);
    const auto special = (*guest)->as_linux()->members(linux_os::kSpecialPathNeeds);
    ASSERT_TRUE(special);
    const AddressSpace& space = (*guest)->as_linux()->space();
    const Layout& layout = (*guest)->as_linux()->layout();
    const auto path = linux_os::PathResolver(space, layout, *special).of_file(executable.task.exe_file);
    ASSERT_TRUE(path) << path.error().to_string();
    EXPECT_EQ(path->link(), "mnt:[4711]");
    EXPECT_EQ(linux_os::PathResolver(space, layout, *special).inside_file_system(executable.leaf)->text, "mnt:[4711]");
    // Without what tells the kind there is no path, rather than half of one.
    EXPECT_FALSE(linux_os::PathResolver(space, layout).of_file(executable.task.exe_file));
}

// dma_buf.name is what an owner gave it with DMA_BUF_SET_NAME; most have none.
TEST(Paths, DmaBuffersHaveTheirOwnNameBehindTheEntrys) {
    for (const bool named : {false, true}) {
        NamedExecutable executable;
        executable.name("dmabuf");
        executable.put_in_no_directory("dmabuf");
        SyntheticGuest& made = executable.made;
        const Gva buffer = made.alloc(made.types.size("dma_buf"));
        const Gva text = made.alloc(16);
        made.put_string(text, "frames");
        if (named) made.set(buffer, "dma_buf.name", text);
        made.set(executable.leaf, "dentry.d_fsdata", buffer);
        auto guest = attach(made.machine(made.vcpus()));
        ASSERT_TRUE(guest);
        const auto special = (*guest)->as_linux()->members(linux_os::kSpecialPathNeeds);
        ASSERT_TRUE(special);
        const linux_os::PathResolver paths((*guest)->as_linux()->space(), (*guest)->as_linux()->layout(), *special);
        const auto path = paths.of_file(executable.task.exe_file);
        ASSERT_TRUE(path) << path.error().to_string();
        EXPECT_EQ(path->link(), named ? "/dmabuf:frames" : "/dmabuf:");
    }
}

}  // namespace
}  // namespace vitrine::test
