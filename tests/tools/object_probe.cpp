// Walks the processes of a guest by typed objects alone, as a program over the library would, and says of each what lives there.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "vitrine/base/text.h"
#include "vitrine/guest/identify.h"
#include "vitrine/guest/linux_guest.h"
#include "vitrine/machine/machine.h"
#include "vitrine/types/object.h"

namespace {

using namespace vitrine;
using nlohmann::json;

constexpr int kMostTasks = 100'000;

Result<std::int64_t> number(const Object& object, std::string_view path) {
    const Object member = VITRINE_TRY(object.member(path));
    return member.as_signed();
}

Result<json> facts_of(LinuxGuest& guest, Gva address) {
    json facts = json::array();
    for (const AddressFact& fact : VITRINE_TRY(identify(guest, address)))
        facts.push_back({{"what", fact.what}, {"detail", to_valid_utf8(fact.detail)}, {"unknown", fact.unknown}});
    return facts;
}

Result<json> account_of(LinuxGuest& guest, const Object& task) {
    const Object comm = VITRINE_TRY(task.member("comm"));
    const GuestString name = VITRINE_TRY(comm.as_string(64));
    const Object stack = VITRINE_TRY(task.member("stack"));
    const Gva stack_at = VITRINE_TRY(stack.as_address());
    const Gva at = *task.address();
    json account = {{"task", at.value}, {"comm", to_valid_utf8(name.bytes)}, {"stack", stack_at.value}};
    account["pid"] = VITRINE_TRY(number(task, "pid"));
    account["tgid"] = VITRINE_TRY(number(task, "tgid"));
    account["parent"] = VITRINE_TRY(number(task, "real_parent.tgid"));
    account["facts"] = VITRINE_TRY(facts_of(guest, at));
    account["inside"] = VITRINE_TRY(
        facts_of(guest, at.wrap_plus(task.catalog()->field(task.type(), "comm")->offset())));
    account["stack_facts"] = stack_at.is_null() ? json() : VITRINE_TRY(facts_of(guest, stack_at.wrap_plus(0x100)));
    return account;
}

Result<json> walk(LinuxGuest& guest) {
    json tasks = json::array();
    const Object first = VITRINE_TRY(guest.variable("init_task", "struct task_struct"));
    Object task = first;
    for (int i = 0; i < kMostTasks; ++i) {
        const Object whole = VITRINE_TRY(task.snapshot());
        tasks.push_back(VITRINE_TRY(account_of(guest, whole)));
        const Object next = VITRINE_TRY(whole.member("tasks.next"));
        task = VITRINE_TRY(next.container_of("struct task_struct", "tasks"));
        if (task.address() == first.address()) return tasks;
    }
    return Error::make(Errc::limit, Origin::guest, "the list of tasks");
}

Result<json> look(const std::string& text) {
    const Target target = VITRINE_TRY(parse_target(text));
    auto machine = VITRINE_TRY(open_machine(target, {}));
    AttachOptions options;
    options.use_cache = false;
    const auto guest = VITRINE_TRY(Guest::attach(std::move(machine), options));
    return walk(*guest->as_linux());
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"every process by typed objects"};
    std::string target;
    app.add_option("target", target)->required();
    CLI11_PARSE(app, argc, argv);
    const auto tasks = look(target);
    if (!tasks) {
        fmt::print(stderr, "{}\n", tasks.error().to_string());
        return 1;
    }
    fmt::print("{}\n", tasks->dump());
    return 0;
}
