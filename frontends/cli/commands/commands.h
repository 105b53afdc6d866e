// Every command that is no view, one file each. The order is that of --help.
#pragma once

#include "model/command.h"

namespace vitrine::cli {

extern const Command kListCommand;
extern const Command kInfoCommand;
extern const Command kPstreeCommand;
extern const Command kTypesCommand;
extern const Command kStructCommand;
extern const Command kIdentifyCommand;
extern const Command kTableCommand;
extern const Command kSqlCommand;
extern const Command kShellCommand;
extern const Command kRecordCommand;
extern const Command kViewsCommand;
extern const Command kSchemaCommand;
extern const Command kNewTableCommand;
extern const Command kDoctorCommand;
extern const Command kCompletionCommand;
extern const Command kHelpCommand;
extern const Command kDocumentCommand;

}  // namespace vitrine::cli
