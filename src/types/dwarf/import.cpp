// import_dwarf: a child process reads the file with libdw under limits, the parent checks what it says.
#include "types/dwarf/import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "types/dwarf/elf_types.h"
#include "vitrine/types/catalog_builder.h"

namespace vitrine::dwarf {
namespace {

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { reset(); }
    [[nodiscard]] int get() const { return fd_; }
    void reset() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }

private:
    int fd_;
};

Error host_error(std::string text, int number) {
    const Errc code = number == EACCES || number == EPERM ? Errc::permission : Errc::io;
    return Error::with_text(code, Origin::types, fmt::format("{}: {}", text, std::strerror(number)));
}

void limit(int resource, std::uint64_t value) {
    struct rlimit current{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &current) != 0) return;
    const rlim_t wanted = value < current.rlim_max ? value : current.rlim_max;
    const struct rlimit lowered{wanted, wanted};
    (void)::setrlimit(static_cast<__rlimit_resource_t>(resource), &lowered);
}

// Private writable memory that the child has from its parent; RLIMIT_DATA counts it.
std::uint64_t data_in_use() {
    std::FILE* file = std::fopen("/proc/self/statm", "re");
    if (file == nullptr) return 0;
    unsigned long long pages[6] = {};
    const int got = std::fscanf(file, "%llu %llu %llu %llu %llu %llu", &pages[0], &pages[1], &pages[2], &pages[3],
                                &pages[4], &pages[5]);
    std::fclose(file);
    return got == 6 ? pages[5] * 4096 : 0;
}

// Everything but the file and the pipe is closed: the parent's descriptors reach into guests.
void close_all_but(int a, int b) {
    const auto low = static_cast<unsigned>(a < b ? a : b);
    const auto high = static_cast<unsigned>(a < b ? b : a);
    if (low > 0) (void)::syscall(SYS_close_range, 0u, low - 1, 0u);
    if (high > low + 1) (void)::syscall(SYS_close_range, low + 1, high - 1, 0u);
    (void)::syscall(SYS_close_range, high + 1, ~0u, 0u);
}

void confine(const Limits& limits, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);  // it died before that took effect
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::unsetenv("DEBUGINFOD_URLS");  // nothing is downloaded
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_CPU, static_cast<std::uint64_t>(limits.processor_time.count()));
    limit(RLIMIT_DATA, data_in_use() + limits.memory);
}

bool write_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return true;
}

// Does not return. Exceptions end here: libdw does not throw, the standard library does when memory is used up.
[[noreturn]] void child(int file, int pipe, const std::string& path, const Limits& limits, pid_t parent) {
    try {
        confine(limits, parent);
        close_all_but(file, pipe);
        const bool sent = write_all(pipe, encode(read_elf_types(file, path)));
        ::_exit(sent ? 0 : 1);
    } catch (const std::bad_alloc&) {
        ::_exit(2);
    } catch (...) {
        ::_exit(1);
    }
}

// The child, ended and reaped whatever happens.
class Child {
public:
    explicit Child(pid_t pid) : pid_(pid) {}
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pid_ > 0) (void)end();
    }
    int end() {
        ::kill(pid_, SIGKILL);
        return wait();
    }
    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return status;
    }

private:
    pid_t pid_;
};

Result<std::vector<std::byte>> receive(int fd, const Limits& limits) {
    const auto end = std::chrono::steady_clock::now() + limits.time;
    std::vector<std::byte> message;
    std::vector<std::byte> chunk(std::size_t{1} << 18);
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
            return Error::with_text(
                Errc::timeout, Origin::types,
                fmt::format("reading the debug information took more than {} s", limits.time.count()));
        }
        struct pollfd waiting{fd, POLLIN, 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000)));
        if (ready < 0 && errno != EINTR) return host_error("poll", errno);
        if (ready <= 0) continue;
        const ssize_t got = ::read(fd, chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return host_error("read", errno);
        if (got == 0) return message;
        if (message.size() + static_cast<std::size_t>(got) > kMaxMessage) {
            return Error::with_text(Errc::limit, Origin::types, "the debug information holds too many types");
        }
        message.insert(message.end(), chunk.begin(), chunk.begin() + got);
    }
}

// Why a child that did not exit with 0 did not.
Error explain(int status, const std::string& path) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        return Error::with_text(Errc::limit, Origin::types,
                                fmt::format("{}: reading the debug information took too much memory", path));
    }
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL)) {
        return Error::with_text(Errc::limit, Origin::types,
                                fmt::format("{}: reading the debug information took too long", path));
    }
    if (WIFSIGNALED(status)) {
        return Error::with_text(
            Errc::malformed, Origin::types,
            fmt::format("{}: the reader of the debug information crashed (signal {}); the file is damaged", path,
                        WTERMSIG(status)));
    }
    return Error::with_text(Errc::malformed, Origin::types,
                            fmt::format("{}: the debug information could not be read", path));
}

Result<Imported> read_in_child(const std::string& path, const Limits& limits) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (file.get() < 0) return host_error(path, errno);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return host_error("pipe", errno);
    const Descriptor from_child(ends[0]);
    Descriptor to_parent(ends[1]);
    const pid_t self = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return host_error("fork", errno);
    if (pid == 0) child(file.get(), to_parent.get(), path, limits, self);
    Child running(pid);
    to_parent.reset();
    const std::vector<std::byte> message = VITRINE_TRY(receive(from_child.get(), limits));
    const int status = running.wait();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return explain(status, path);
    return decode(message);
}

Result<std::shared_ptr<const TypeCatalog>> build(TypeTables&& tables, std::string origin) {
    if (tables.types.empty())
        return Error::with_text(Errc::malformed, Origin::types, "the debug information holds no types");
    CatalogBuilder builder;
    builder.adopt_strings(std::move(tables.strings));
    builder.reserve(tables.types.size(), tables.members.size(), tables.enumerators.size());
    for (std::size_t i = 1; i < tables.types.size(); ++i) builder.add(tables.types[i]);
    for (const Member& m : tables.members) builder.add_member(m);
    for (const Enumerator& e : tables.enumerators) builder.add_enumerator(e);
    return builder.build(std::move(origin));
}

}  // namespace

Result<DwarfImport> import(const std::string& path, const Limits& limits) {
    Imported imported = VITRINE_TRY(read_in_child(path, limits));
    DwarfImport result;
    result.build_id = std::move(imported.build_id);
    result.types = imported.btf.empty()
                       ? VITRINE_TRY(build(std::move(imported.tables), fmt::format("DWARF of {}", path)))
                       : VITRINE_TRY(parse_btf(imported.btf, fmt::format("BTF of {}", path)));
    return result;
}

}  // namespace vitrine::dwarf

namespace vitrine {

Result<DwarfImport> import_dwarf(const std::string& path) { return dwarf::import(path, {}); }

}  // namespace vitrine
