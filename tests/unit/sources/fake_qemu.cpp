#include "unit/sources/fake_qemu.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <sstream>

namespace vitrine {
namespace {

constexpr const char* kVariable = "VITRINE_FAKE_QEMU";  // "READY-FD LISTENER-FD SERVES-FIRST MIB..."
constexpr std::size_t kGuard = 4096;

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    return address;
}

[[noreturn]] void be_qemu(const char* wanted) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::istringstream words(wanted);
    int ready = -1, listener = -1, serves = 0;
    words >> ready >> listener >> serves;
    for (std::size_t mib = 0; words >> mib;) {
        const std::size_t size = mib << 20;
        char* const at = static_cast<char*>(
            ::mmap(nullptr, size + kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (at == MAP_FAILED || ::mprotect(at, size, PROT_READ | PROT_WRITE) != 0) ::_exit(1);
    }
    if (::write(ready, "r", 1) != 1) ::_exit(1);
    if (serves != 0) (void)::accept(listener, nullptr, nullptr);
    for (;;) ::pause();
}

// Before main(): the program is then a fake QEMU and nothing else.
__attribute__((constructor)) void begin() {
    if (const char* wanted = std::getenv(kVariable)) be_qemu(wanted);
}

}  // namespace

FakeQemu::FakeQemu(const FakeQemuOptions& options) : socket_(options.socket) {
    if (!socket_.empty()) {
        ::unlink(socket_.c_str());
        listener_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
        const sockaddr_un address = address_of(socket_);
        EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    }
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    std::string wanted = std::to_string(ready[1]) + " " + std::to_string(listener_) +
                         (options.serves_first ? " 1" : " 0");
    for (const std::size_t mib : options.blocks_mib) wanted += " " + std::to_string(mib);
    std::vector<std::string> words{"qemu-system-x86_64"};
    words.insert(words.end(), options.arguments.begin(), options.arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
        // The kernel notes who calls listen(): that is who SO_PEERCRED shows to clients.
        if (listener_ >= 0 && ::listen(listener_, 8) != 0) ::_exit(1);
        ::setenv(kVariable, wanted.c_str(), 1);
        ::execv("/proc/self/exe", argv.data());
        ::_exit(1);
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1) << "the fake QEMU did not start";
    ::close(ready[0]);
    if (listener_ >= 0) ::fcntl(listener_, F_SETFD, FD_CLOEXEC);
}

FakeQemu::~FakeQemu() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    if (listener_ >= 0) ::close(listener_);
    if (!socket_.empty()) ::unlink(socket_.c_str());
}

int FakeQemu::count_waiting() const {
    int count = 0;
    for (pollfd entry{listener_, POLLIN, 0}; ::poll(&entry, 1, 0) > 0; ++count) {
        const int client = ::accept(listener_, nullptr, nullptr);
        if (client < 0) break;
        ::close(client);
    }
    return count;
}

LastingClient::LastingClient(const std::string& socket) {
    int connected[2];
    EXPECT_EQ(::pipe2(connected, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
        const sockaddr_un address = address_of(socket);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) ::_exit(1);
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::execlp("sleep", "sleep", "600", nullptr);
        ::_exit(1);
    }
    ::close(connected[1]);
    char byte = 0;
    EXPECT_EQ(::read(connected[0], &byte, 1), 0);  // closed by exec
    ::close(connected[0]);
}

LastingClient::~LastingClient() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

}  // namespace vitrine
