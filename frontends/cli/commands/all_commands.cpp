#include <algorithm>
#include <vector>

#include "commands/commands.h"
#include "views/view_command.h"

namespace vitrine::cli {

std::span<const Command* const> all_commands() {
    static const std::vector<const Command*> kCommands = [] {
        std::vector<const Command*> commands{&kListCommand,  &kInfoCommand,   &kPstreeCommand,
                                             &kTypesCommand, &kStructCommand, &kIdentifyCommand};
        const auto is_taken = [&](std::string_view name) {
            return std::any_of(commands.begin(), commands.end(),
                               [&](const Command* command) { return command->name == name; });
        };
        for (const ViewCommand* view : built_in_views()) {
            // A view of the name of a command is what that command asks.
            if (!is_taken(view->view().name)) commands.push_back(&view->command());
        }
        commands.insert(commands.end(),
                        {&kTableCommand, &kSqlCommand, &kShellCommand, &kRecordCommand, &kViewsCommand, &kSchemaCommand,
                         &kNewTableCommand, &kDoctorCommand, &kCompletionCommand, &kHelpCommand, &kDocumentCommand});
        return commands;
    }();
    return kCommands;
}

}  // namespace vitrine::cli
