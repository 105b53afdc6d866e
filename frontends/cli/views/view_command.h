// Views as commands: those of the program (views/*.sql, embedded), and those of a folder of the user's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/command.h"
#include "views/view.h"

namespace vitrine::cli {

// A view with the command made of it, which points into it.
class ViewCommand {
public:
    explicit ViewCommand(View view);
    ViewCommand(const ViewCommand&) = delete;
    ViewCommand& operator=(const ViewCommand&) = delete;
    ~ViewCommand() = default;

    [[nodiscard]] const View& view() const { return view_; }
    [[nodiscard]] const Command& command() const { return command_; }

private:
    View view_;
    std::vector<ArgumentSpec> arguments_;
    std::vector<OptionSpec> options_;
    std::vector<Example> examples_;
    Command command_;
};

// Of the program, by name. Those whose tables the program does not have are left out.
[[nodiscard]] std::span<const ViewCommand* const> built_in_views();
[[nodiscard]] const View* find_built_in_view(std::string_view name);

// A file of the user's folder that is not used, and why.
struct UnusedView {
    std::string name;  // as a command
    std::string file;
    std::string why;  // "line 3: ..."
};

class OwnViews {
public:
    OwnViews() = default;
    // The files *.sql of the folder; one that is not there holds none.
    static OwnViews load(const std::string& folder);
    // $XDG_CONFIG_HOME/vitrine/views, or ~/.config/vitrine/views; "" when the environment names neither.
    [[nodiscard]] static std::string default_folder();

    [[nodiscard]] std::span<const std::unique_ptr<ViewCommand>> views() const { return views_; }
    [[nodiscard]] std::span<const UnusedView> unused() const { return unused_; }
    [[nodiscard]] const Command* find(std::string_view name) const;
    [[nodiscard]] const UnusedView* find_unused(std::string_view name) const;

private:
    void add(const std::string& folder, const std::string& file_name);

    std::vector<std::unique_ptr<ViewCommand>> views_;  // by name
    std::vector<UnusedView> unused_;
};

}  // namespace vitrine::cli
