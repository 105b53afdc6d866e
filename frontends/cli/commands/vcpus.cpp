#include "commands/commands.h"
#include "query/query.h"

namespace vitrine::cli {
namespace {

constexpr Example kExamples[] = {
    {"vitrine vcpus qemu:web1 --paused", "exact registers: the guest stands still for an instant"},
    {"vitrine vcpus qemu:web1 --columns cpu,rip,cr3", "where each processor is, in which address space"},
    {"vitrine vcpus kvm:4711 --format json", "of any KVM monitor, no QMP needed"},
};

int run(Session& session, const Arguments& arguments) {
    if (!session.settings().use_registers) {
        return session.usage("vitrine vcpus reads registers: --no-registers leaves nothing to show");
    }
    return run_view(session, arguments, "vcpus", {});
}

}  // namespace

const Command kVcpusCommand{
    .name = "vcpus",
    .summary = "Show the registers of a guest's virtual processors",
    .description = "Control registers and MSRs are always exact; others of a running TCG guest lag unless --paused.",
    .arguments = {&kTargetArgument, 1},
    .options = {},
    .is_query = true,
    .examples = kExamples,
    .run = run,
};

}  // namespace vitrine::cli
