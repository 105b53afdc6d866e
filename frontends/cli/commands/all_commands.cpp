#include <array>

#include "commands/commands.h"

namespace vitrine::cli {

std::span<const Command* const> all_commands() {
    static constexpr auto kCommands = std::to_array<const Command*>(
        {&kListCommand, &kInfoCommand, &kPsCommand, &kPstreeCommand, &kThreadsCommand, &kModulesCommand,
         &kSymbolsCommand, &kTypesCommand, &kStructCommand, &kIdentifyCommand, &kVcpusCommand, &kTableCommand,
         &kSqlCommand, &kShellCommand, &kRecordCommand,
         &kSchemaCommand, &kDoctorCommand, &kCompletionCommand, &kHelpCommand, &kDocumentCommand});
    return kCommands;
}

}  // namespace vitrine::cli
