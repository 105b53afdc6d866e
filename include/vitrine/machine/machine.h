// A machine that can be looked into: a running virtual machine, or an image of one. Made by open_machine() from a
// target; gives memory, and as capabilities (null when the source has none) registers and pausing.
//
//   auto machine = VITRINE_TRY(open_machine(VITRINE_TRY(parse_target("qemu:web1")), {}));
//   if (VcpuRegisters* registers = machine->registers()) ...
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/base/result.h"
#include "vitrine/machine/registers.h"
#include "vitrine/memory/ram_store.h"

namespace vitrine {

enum class TargetKind : std::uint8_t {
    qemu,  // qemu:PID or qemu:NAME
    qmp,   // qmp:SOCKET, the path of a QMP unix socket
    kvm,   // kvm:PID, any monitor that uses /dev/kvm
    file,  // a path
    raw,   // raw:PATH, a file that is raw memory whatever it looks like
};

struct Target {
    TargetKind kind = TargetKind::file;
    std::string text;  // what follows the prefix: PID, NAME, SOCKET or the path
};

// "qemu:1234", "qemu:web1", "qmp:/run/x.sock", "kvm:1234", or a path (also "file:PATH"; "raw:PATH"). Errors: usage, with the forms.
Result<Target> parse_target(std::string_view text);
[[nodiscard]] std::string to_string(const Target&);

struct OpenOptions {
    bool use_qmp = true;        // false: never connect to a monitor socket
    bool use_injection = true;  // false: never run an ioctl inside the monitor's process
    std::chrono::milliseconds qmp_timeout{500};
};

struct MachineInfo {
    std::string kind;                 // "QEMU", "KVM monitor", "raw image", "ELF core"
    std::string name;                 // the guest's -name, or the file's name
    std::optional<std::int32_t> pid;  // of the monitor, in our pid namespace
    std::string version;              // of the monitor, when known
    std::string accelerator;          // "tcg", "kvm" or "" when unknown
    std::string machine_type;         // "pc-q35-7.2", ... or ""
    std::string backend;              // e.g. "anonymous", "memfd, shared", "file /dev/hugepages/x, private"
    std::string qmp_socket;           // path, or ""
    std::vector<std::string> notes;   // what could not be used and why: one line each
    std::string uncovered;  // memory of the guest that cannot be reached: every answer may lack what lies there
    // Why blocks of memory may be taken for each other: every answer may mix them up. Empty: they are not, or the guest proved it.
    std::string unproven_order;
};

class Machine {
public:
    Machine() = default;
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;
    virtual ~Machine() = default;

    [[nodiscard]] virtual const MachineInfo& info() const = 0;
    // With the current layout. The first candidate is in force after opening.
    [[nodiscard]] virtual GuestMemory& memory() = 0;
    // Candidate layouts, likeliest first, never empty. A certain one stands alone.
    [[nodiscard]] virtual std::span<const MemoryLayout> layouts() const = 0;

    // What the layouts guess: which of these parts of the store is which block of memory. Empty: nothing of the kind.
    [[nodiscard]] virtual std::span<const InterchangeableParts> interchangeable() const { return {}; }
    // The guest proved that the layout in force has each of them in its place: info().unproven_order becomes empty.
    virtual void take_order_as_proven() {}

    [[nodiscard]] virtual VcpuRegisters* registers() { return nullptr; }
    [[nodiscard]] virtual PauseControl* pause_control() { return nullptr; }
    // Does the machine run, so that its memory may change between two reads? False for images and paused guests.
    [[nodiscard]] virtual bool is_live() const { return false; }
    // Is it still the machine that was opened? stale: the monitor ended or its RAM was remapped. Cheap (one system call).
    virtual Result<void> check_alive() { return {}; }
};

Result<std::unique_ptr<Machine>> open_machine(const Target& target, const OpenOptions& options);

// A machine on this host, as `vitrine list` shows it. Found by looking at /proc and sockets, connecting to nothing.
struct MachineListing {
    std::string target;  // what to give as TARGET
    std::string name;
    std::optional<std::int32_t> pid;
    std::string kind;  // "QEMU", "KVM monitor"
    std::string accelerator;
    std::uint64_t memory_bytes = 0;  // 0: unknown
    std::uint32_t vcpus = 0;         // 0: unknown
    std::string backend;
    std::string qmp_socket;                  // the one that is used; empty: none, or none that can be reached from here
    std::string state;                       // "accessible", or why not
    std::string hint;                        // what would make it accessible
    std::string libvirt_domain{};            // its name in libvirt; empty: not libvirt's
    std::vector<std::string> qmp_targets{};  // "qmp:PATH": other ways to name the same machine
};
Result<std::vector<MachineListing>> list_machines();

}  // namespace vitrine
