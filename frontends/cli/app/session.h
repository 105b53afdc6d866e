// One run of the program: its settings, where it writes, and how it reaches guests. Failures are reported here, once, and become
// the exit code.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "app/engine.h"
#include "app/exit_code.h"
#include "app/messages.h"
#include "model/command.h"
#include "render/output.h"
#include "render/row_writer.h"
#include "render/terminal.h"
#include "views/view_command.h"

namespace vitrine::cli {

struct Settings {
    Format format = Format::table;
    ColorMode color = ColorMode::automatic;
    bool header = true;
    std::optional<std::size_t> width;
    bool use_registers = true;
    bool use_qmp = true;
    bool use_cache = true;
    std::string cache_directory;
    std::optional<std::string> vmlinux;
    bool timing = false;
    bool verbose = false;

    static Settings from(const Arguments& arguments);
};

// A value, or the exit code of a failure that was reported.
template <class T>
using OrExit = tl::expected<T, int>;

class Session {
public:
    Session(Engine& engine, Output& out, Messages& messages, int in_fd, Settings settings, const OwnViews& own_views)
        : engine_(engine),
          out_(out),
          messages_(messages),
          in_fd_(in_fd),
          settings_(std::move(settings)),
          own_views_(own_views) {}

    [[nodiscard]] Engine& engine() const { return engine_; }
    [[nodiscard]] Output& out() const { return out_; }
    [[nodiscard]] Messages& messages() const { return messages_; }
    [[nodiscard]] int in_fd() const { return in_fd_; }
    [[nodiscard]] const Settings& settings() const { return settings_; }
    [[nodiscard]] const OwnViews& own_views() const { return own_views_; }
    [[nodiscard]] Style style() const;  // for rows on standard output

    [[nodiscard]] OpenOptions open_options() const;
    [[nodiscard]] AttachOptions attach_options() const;  // without progress
    OrExit<std::unique_ptr<Guest>> attach(std::string_view target);
    // Not reported here.
    struct OpenFailure {
        Error error;
        Phase phase;
    };
    tl::expected<std::unique_ptr<Machine>, OpenFailure> open(std::string_view target);
    // Attaches to a machine that is open; shows progress and --timing.
    Result<std::unique_ptr<Guest>> attach(std::unique_ptr<Machine> machine);

    int fail(const Error& error, Phase phase);
    int usage(std::string_view text, std::string_view hint = {});

private:
    Engine& engine_;
    Output& out_;
    Messages& messages_;
    int in_fd_;
    Settings settings_;
    const OwnViews& own_views_;
};

// Milliseconds with a sensible number of digits: "0.21 ms", "43.7 ms".
[[nodiscard]] std::string duration_text(std::chrono::microseconds duration);

}  // namespace vitrine::cli
