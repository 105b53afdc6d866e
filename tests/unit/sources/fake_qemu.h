// A process that looks like a QEMU from outside: its command line, its memory, and a monitor socket that it listens on. This
// test program started again under another name (see fake_qemu.cpp), so it needs no virtual machine.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace vitrine {

struct FakeQemuOptions {
    std::vector<std::string> arguments;          // of its command line
    std::vector<std::size_t> blocks_mib = {64};  // its mappings, each with QEMU's guard page behind it
    std::string socket;                          // listens there; empty: nowhere
    bool serves_first = false;                   // accepts one client, greets nobody
};

class FakeQemu {
public:
    explicit FakeQemu(const FakeQemuOptions& options);
    ~FakeQemu();
    FakeQemu(const FakeQemu&) = delete;
    FakeQemu& operator=(const FakeQemu&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    // Its listening socket, in this process: to accept() in its place. A client waits there when it is readable.
    [[nodiscard]] int listener() const { return listener_; }
    // Takes every client that waits now; how many there were.
    int count_waiting() const;

private:
    pid_t pid_ = -1;
    int listener_ = -1;
    std::string socket_;
};

// A client of another program that stays, as libvirt does.
class LastingClient {
public:
    explicit LastingClient(const std::string& socket);
    ~LastingClient();
    LastingClient(const LastingClient&) = delete;
    LastingClient& operator=(const LastingClient&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    pid_t pid_ = -1;
};

}  // namespace vitrine
