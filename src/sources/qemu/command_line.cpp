#include "sources/qemu/command_line.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "sources/host/process.h"
#include "sources/qemu/option_text.h"

namespace vitrine {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kDefaultMemory = 128 * kMiB;
constexpr std::uint64_t kMaxVcpus = 1u << 16;

// Options that take no argument (qemu-options.def of QEMU 2.x to 11.x); every other one takes the next word.
constexpr auto kBareOptions = std::to_array<std::string_view>({"h",
                                                               "help",
                                                               "version",
                                                               "audio-help",
                                                               "snapshot",
                                                               "usb",
                                                               "sdl",
                                                               "nographic",
                                                               "portrait",
                                                               "full-screen",
                                                               "win2k-hack",
                                                               "no-fd-bootchk",
                                                               "no-acpi",
                                                               "no-hpet",
                                                               "no-frame",
                                                               "no-quit",
                                                               "alt-grab",
                                                               "ctrl-grab",
                                                               "curses",
                                                               "singlestep",
                                                               "one-insn-per-tb",
                                                               "preconfig",
                                                               "S",
                                                               "s",
                                                               "enable-kvm",
                                                               "enable-hax",
                                                               "xen-attach",
                                                               "xen-domid-restrict",
                                                               "no-reboot",
                                                               "no-shutdown",
                                                               "daemonize",
                                                               "nodefaults",
                                                               "no-user-config",
                                                               "nodefconfig",
                                                               "mem-prealloc",
                                                               "only-migratable",
                                                               "semihosting",
                                                               "old-param",
                                                               "enable-fips",
                                                               "enable-sync-profile",
                                                               "tdf",
                                                               "no-kvm",
                                                               "no-kvm-irqchip",
                                                               "no-kvm-pit",
                                                               "no-kvm-pit-reinjection",
                                                               "show-cursor",
                                                               "async-teardown",
                                                               "nouserconfig"});

std::string get(const QemuOption& option, const std::string& key) {
    // The last one given counts.
    const auto [begin, end] = option.equal_range(key);
    return begin == end ? std::string() : std::prev(end)->second;
}

// Chardevs wait for the -mon that may name them.
struct Sockets {
    std::map<std::string, QmpSocket> chardevs;
    std::vector<std::string> control_chardevs;
};

class Reader {
public:
    void option(std::string_view name, const std::string& value);
    QemuCommandLine finish();

private:
    void machine(const std::string& value);
    void memory(const std::string& value);
    void object(const std::string& value);
    void device(const std::string& value);
    void numa(const std::string& value);
    void smp(const QemuOption& option);
    void chardev(const std::string& value);
    void monitor(const std::string& value);
    void qmp(const std::string& value);

    QemuCommandLine line_;
    Sockets sockets_;
    std::multimap<std::uint64_t, std::string> nodes_;  // backend by node number
};

void Reader::machine(const std::string& value) {
    const QemuOption option = parse_qemu_option(value, "type");
    if (const std::string type = get(option, "type"); !type.empty()) line_.machine = type;
    if (const std::string id = get(option, "memory-backend"); !id.empty()) line_.memory_backend = id;
    if (const auto size = parse_qemu_size(get(option, "max-ram-below-4g"), 1)) line_.max_below_4g = *size;
    QemuOption processors;
    for (const auto& [key, text] : option) {
        if (key.starts_with("smp.")) processors.emplace(key.substr(4), text);
    }
    if (!processors.empty()) smp(processors);
    if (const std::string accel = get(option, "accel"); !accel.empty() && line_.accelerator.empty()) {
        line_.accelerator = accel.substr(0, accel.find(':'));
    }
}

// machine_parse_smp_config() in hw/core/machine-smp.c: cpus counts, else maxcpus, else the product of the topology.
void Reader::smp(const QemuOption& option) {
    const auto count = [&](const char* key) { return parse_decimal(get(option, key)).value_or(0); };
    std::uint64_t cpus = count("cpus");
    if (cpus == 0) cpus = count("maxcpus");
    if (cpus == 0) {
        cpus = 1;
        for (const char* level : {"drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads"}) {
            const std::uint64_t factor = count(level);
            if (factor != 0 && __builtin_mul_overflow(cpus, factor, &cpus)) return;
        }
    }
    if (cpus > kMaxVcpus) return;
    line_.vcpus = static_cast<std::uint32_t>(cpus);
    line_.vcpus_are_known = true;
}

void Reader::memory(const std::string& value) {
    const QemuOption option = parse_qemu_option(value, "size");
    if (const auto size = parse_qemu_size(get(option, "size"), kMiB)) line_.memory_size = *size;
    if (const auto size = parse_qemu_size(get(option, "maxmem"), 1)) line_.max_memory = *size;
}

void Reader::object(const std::string& value) {
    const QemuOption option = parse_qemu_option_or_json(value, "qom-type");
    if (get(option, "qom-type") == "secret" && get(option, "id") == "masterKey0") line_.by_libvirt = true;
    MemoryBackend backend{get(option, "qom-type"), get(option, "id"), 0, get(option, "mem-path")};
    if (!backend.type.starts_with("memory-backend-")) return;
    if (const auto size = parse_qemu_size(get(option, "size"), 1)) backend.size = *size;
    line_.backends.push_back(std::move(backend));
}

void Reader::device(const std::string& value) {
    const QemuOption option = parse_qemu_option_or_json(value, "driver");
    const std::string backend = get(option, "memdev");
    if (backend.empty()) return;
    line_.device_backends.push_back(backend);
    const std::string driver = get(option, "driver");
    if (driver == "pc-dimm" || driver.starts_with("virtio-mem")) line_.ram_devices.push_back(backend);
}

void Reader::numa(const std::string& value) {
    const QemuOption option = parse_qemu_option_or_json(value, "type");
    if (get(option, "type") != "node") return;
    const std::string backend = get(option, "memdev");
    if (backend.empty()) return;
    const auto number = parse_decimal(get(option, "nodeid"));
    nodes_.emplace(number.value_or(nodes_.size()), backend);
}

void Reader::chardev(const std::string& value) {
    const QemuOption option = parse_qemu_option(value, "backend");
    if (get(option, "backend") != "socket") return;
    QmpSocket socket{get(option, "path"), {}};
    const std::string abstract = get(option, "abstract");
    if (abstract == "on" || abstract == "yes") socket.path = "@" + socket.path;
    if (const auto fd = parse_decimal(get(option, "fd")); fd && *fd < (1u << 20)) {
        socket.fd = static_cast<int>(*fd);
        line_.chardev_fds.push_back(*socket.fd);
    }
    if (socket.path.empty() && !socket.fd) return;  // TCP
    sockets_.chardevs[get(option, "id")] = std::move(socket);
}

void Reader::monitor(const std::string& value) {
    const QemuOption option = parse_qemu_option(value, "chardev");
    if (get(option, "mode") != "control") return;
    sockets_.control_chardevs.push_back(get(option, "chardev"));
    if (get(option, "chardev") == "charmonitor") line_.by_libvirt = true;
}

void Reader::qmp(const std::string& value) {
    constexpr std::string_view kUnix = "unix:";
    constexpr std::string_view kChardev = "chardev:";
    if (value.starts_with(kChardev)) {
        sockets_.control_chardevs.push_back(value.substr(kChardev.size()));
        return;
    }
    if (!value.starts_with(kUnix)) return;
    const QemuOption option = parse_qemu_option(std::string_view(value).substr(kUnix.size()), "path");
    const std::string abstract = get(option, "abstract");
    std::string path = get(option, "path");
    if (abstract == "on" || abstract == "yes") path.insert(path.begin(), '@');
    if (!path.empty()) line_.qmp_sockets.push_back({std::move(path), {}});
}

void Reader::option(std::string_view name, const std::string& value) {
    if (name == "name") {
        line_.name = get(parse_qemu_option(value, "guest"), "guest");
    } else if (name == "machine" || name == "M") {
        machine(value);
    } else if (name == "m") {
        memory(value);
    } else if (name == "object") {
        object(value);
    } else if (name == "device") {
        device(value);
    } else if (name == "numa") {
        numa(value);
    } else if (name == "mem-path") {
        line_.memory_path = value;
    } else if (name == "accel") {
        // -accel wins over -machine accel=, and the first that works is taken.
        if (line_.accelerator.empty()) line_.accelerator = get(parse_qemu_option(value, "accel"), "accel");
    } else if (name == "enable-kvm") {
        if (line_.accelerator.empty()) line_.accelerator = "kvm";
    } else if (name == "smp") {
        smp(parse_qemu_option(value, "cpus"));
    } else if (name == "chardev") {
        chardev(value);
    } else if (name == "mon") {
        monitor(value);
    } else if (name == "qmp" || name == "qmp-pretty") {
        qmp(value);
    } else if (name == "readconfig") {
        line_.has_config_file = true;
    } else if (name == "incoming") {
        line_.awaits_migration = true;
    }
}

QemuCommandLine Reader::finish() {
    for (auto& [number, backend] : nodes_) line_.numa_backends.push_back(std::move(backend));
    for (const std::string& id : sockets_.control_chardevs) {
        if (const auto found = sockets_.chardevs.find(id); found != sockets_.chardevs.end()) {
            line_.qmp_sockets.push_back(found->second);
        }
    }
    if (!line_.has_config_file) line_.vcpus_are_known = true;
    line_.size_is_known = line_.memory_size != 0 || !line_.memory_backend.empty() || !line_.has_config_file;
    if (line_.memory_size == 0) {
        const MemoryBackend* backend = line_.find_backend(line_.memory_backend);
        line_.memory_size = backend != nullptr && backend->size != 0 ? backend->size : kDefaultMemory;
    }
    return std::move(line_);
}

}  // namespace

const MemoryBackend* QemuCommandLine::find_backend(std::string_view id) const {
    for (const MemoryBackend& backend : backends) {
        if (!id.empty() && backend.id == id) return &backend;
    }
    return nullptr;
}

QemuCommandLine parse_qemu_command_line(const std::vector<std::string>& words) {
    Reader reader;
    for (std::size_t i = 1; i < words.size(); ++i) {
        std::string_view word = words[i];
        if (word.size() < 2 || word.front() != '-') continue;  // a disk image
        word.remove_prefix(word.starts_with("--") ? 2 : 1);
        const bool bare = std::find(kBareOptions.begin(), kBareOptions.end(), word) != kBareOptions.end();
        if (bare) reader.option(word, {});
        else if (i + 1 < words.size()) reader.option(word, words[++i]);
    }
    return reader.finish();
}

std::string qemu_system_of(std::string_view program) {
    if (const std::size_t slash = program.rfind('/'); slash != std::string_view::npos) program.remove_prefix(slash + 1);
    constexpr std::string_view kPrefix = "qemu-system-";
    if (program == "qemu-kvm" || program == "kvm") return "host";
    // Wrapped programs keep the name inside another: ".qemu-system-x86_64-wrapped".
    const std::size_t at = program.find(kPrefix);
    if (at == std::string_view::npos) return {};
    const std::string_view rest = program.substr(at + kPrefix.size());
    const auto end = std::find_if(rest.begin(), rest.end(),
                                  [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_'; });
    return std::string(rest.begin(), end);
}

}  // namespace vitrine
