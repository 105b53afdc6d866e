// Everything that a monitor, or a process that pretends to be one, can put before the source of live guests: the replies
// on its socket, its command line, its mappings, the table of sockets. The first byte chooses.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "sources/host/maps.h"
#include "sources/host/unix_sockets.h"
#include "sources/qemu/backing.h"
#include "sources/qemu/command_line.h"
#include "sources/qemu/memory_plan.h"
#include "sources/qemu/memory_tree.h"
#include "sources/qemu/option_text.h"
#include "sources/qmp/qmp_client.h"

namespace {

using namespace vitrine;

void require(bool condition) {
    if (!condition) std::abort();
}

void check_plan(const MemoryPlan& plan) {
    std::uint64_t size = 0;
    for (const RamBlock& block : plan.blocks) size += block.size;
    require(!plan.layouts.empty() && plan.layouts.size() <= 24);
    for (const MemoryLayout& layout : plan.layouts) require(layout.validate(size).has_value());
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(separator), text.size());
        words.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

// A monitor that says what the input says and hangs up.
void talk(std::string_view said) {
    static int round = 0;
    const std::string name = "@vitrine-fuzz-" + std::to_string(::getpid()) + "-" + std::to_string(round++);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof(address.sun_path) - 1);
    address.sun_path[0] = '\0';
    const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    require(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) == 0 &&
            ::listen(listener.get(), 1) == 0);
    std::thread server([&] {
        const UniqueFd client(::accept(listener.get(), nullptr, nullptr));
        (void)::send(client.get(), said.data(), said.size(), MSG_NOSIGNAL);
        ::shutdown(client.get(), SHUT_WR);
    });
    auto qmp = QmpClient::connect(name, std::chrono::milliseconds(2000));
    if (qmp) {
        (*qmp)->set_command_timeout(std::chrono::milliseconds(2000));
        if (const auto plan = plan_from_monitor(**qmp)) check_plan(*plan);
        (void)(*qmp)->hmp("info registers");
    }
    qmp = Error::make(Errc::io, Origin::source, "closed");
    server.join();
}

void read_tree(std::string_view text) {
    const auto view = parse_flat_view(text);
    (void)parse_gpa2hva(text);
    if (!view) return;
    std::vector<std::string> notes;
    const std::uint64_t base = view->front().size;
    const std::vector<MemoryDevice> devices{{"dimm", view->back().region, view->back().start, view->back().size}};
    for (const std::uint64_t size : {base, base + view->back().size, std::uint64_t{1} << 30}) {
        const auto blocks = select_guest_blocks(*view, size, devices, notes);
        if (!blocks) continue;
        for (const GuestBlock& block : *blocks) require(!block.ranges.empty() && block.size() != 0);
    }
}

// A command line, an empty line, the mappings.
void read_process(std::string_view text) {
    const std::size_t middle = std::min(text.find("\n\n"), text.size());
    const QemuCommandLine line = parse_qemu_command_line(split(text.substr(0, middle), '\n'));
    const auto maps = parse_maps(text.substr(std::min(middle + 2, text.size())));
    if (!maps) return;
    (void)are_still_mapped(*maps, join_mappings(*maps));
    if (const auto plan = plan_from_command_line(line, *maps)) check_plan(*plan);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 128 * 1024) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0] & 3) {
        case 0: talk(text); break;
        case 1: read_tree(text); break;
        case 2: read_process(text); break;
        default:
            (void)parse_qmp_message(text);
            (void)parse_unix_sockets(text);
            for (const std::string& word : split(text, '\n')) {
                (void)parse_qemu_size(word, 1u << 20);
                (void)parse_qemu_option(word, "type");
                (void)qemu_system_of(word);
                (void)socket_inode(word);
            }
            break;
    }
    return 0;
}
