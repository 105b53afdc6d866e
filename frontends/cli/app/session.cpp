#include "app/session.h"

#include <fmt/format.h>

#include <chrono>

namespace vitrine::cli {
namespace {

Format format_from(std::string_view text) {
    if (text == "json") return Format::json;
    if (text == "ndjson") return Format::ndjson;
    if (text == "csv") return Format::csv;
    if (text == "markdown") return Format::markdown;
    return Format::table;
}

ColorMode color_from(std::string_view text) {
    if (text == "always") return ColorMode::always;
    if (text == "never") return ColorMode::never;
    return ColorMode::automatic;
}

}  // namespace

Settings Settings::from(const Arguments& arguments) {
    Settings settings;
    settings.format = format_from(arguments.text("--format"));
    settings.color = color_from(arguments.text("--color"));
    settings.header = !arguments.has("--no-header");
    if (const auto width = arguments.number("--width")) settings.width = static_cast<std::size_t>(*width);
    settings.use_registers = !arguments.has("--no-registers");
    settings.use_qmp = !arguments.has("--no-qmp");
    settings.use_cache = !arguments.has("--no-cache");
    settings.cache_directory = std::string(arguments.text("--cache-dir"));
    if (arguments.has("--symbols")) settings.vmlinux = std::string(arguments.text("--symbols"));
    settings.timing = arguments.has("--timing");
    settings.verbose = arguments.has("--verbose");
    return settings;
}

Style Session::style() const {
    Style style;
    style.format = settings_.format;
    style.color = use_color(settings_.color, out_.fd());
    style.header = settings_.header;
    style.width = settings_.width ? settings_.width : terminal_width(out_.fd());
    if (style.width == std::size_t{0}) style.width.reset();
    if (!locale_is_utf8()) style.ellipsis = "~";
    return style;
}

OpenOptions Session::open_options() const {
    OpenOptions options;
    options.use_qmp = settings_.use_qmp;
    options.use_injection = settings_.use_registers;
    return options;
}

AttachOptions Session::attach_options() const {
    AttachOptions options;
    options.use_registers = settings_.use_registers;
    options.use_cache = settings_.use_cache;
    options.cache_directory = settings_.cache_directory;
    options.vmlinux = settings_.vmlinux;
    return options;
}

tl::expected<std::unique_ptr<Machine>, Session::OpenFailure> Session::open(std::string_view text) {
    const auto target = engine_.parse_target(text);
    if (!target) return tl::make_unexpected(OpenFailure{target.error(), Phase::target});
    auto machine = engine_.open(*target, open_options());
    if (!machine) return tl::make_unexpected(OpenFailure{machine.error(), Phase::open});
    return std::move(*machine);
}

OrExit<std::unique_ptr<Guest>> Session::attach(std::string_view target) {
    const auto started = std::chrono::steady_clock::now();
    auto machine = open(target);
    if (!machine) return tl::make_unexpected(fail(machine.error().error, machine.error().phase));
    if (settings_.timing) {
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                                started);
        messages_.timing(fmt::format("open {}", duration_text(took)));
    }
    auto guest = attach(std::move(*machine));
    if (!guest) return tl::make_unexpected(fail(guest.error(), Phase::attach));
    return std::move(*guest);
}

Result<std::unique_ptr<Guest>> Session::attach(std::unique_ptr<Machine> machine) {
    const auto show = [this](const char* step, double fraction) { messages_.progress(step, fraction); };
    AttachOptions options = attach_options();
    options.progress.emplace(show);
    const auto started = std::chrono::steady_clock::now();
    auto guest = engine_.attach(std::move(machine), options);
    messages_.clear_progress();
    if (!guest) return guest;
    if (settings_.timing) {
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() -
                                                                                started);
        std::string steps;
        for (const AttachStep& step : (*guest)->kernel().steps) {
            steps += fmt::format("{}{} {}", steps.empty() ? ": " : ", ", step.name, duration_text(step.took));
        }
        messages_.timing(fmt::format("attach {}{}", duration_text(took), steps));
    }
    if (settings_.verbose) {
        for (const std::string& refused : (*guest)->kernel().rejected)
            messages_.note(fmt::format("refused: {}", refused));
        const MachineInfo& info = (*guest)->machine().info();
        for (const std::string& note : info.notes) messages_.note(note);
        if (!info.unproven_order.empty()) messages_.note(info.unproven_order);
    }
    return guest;
}

int Session::fail(const Error& error, Phase phase) {
    messages_.error(error);
    return exit_code(error, phase);
}

int Session::usage(std::string_view text, std::string_view hint) {
    messages_.error(text, hint);
    return kExitUsage;
}

std::string duration_text(std::chrono::microseconds duration) {
    const double ms = static_cast<double>(duration.count()) / 1000.0;
    if (ms < 10) return fmt::format("{:.2f} ms", ms);
    if (ms < 1000) return fmt::format("{:.1f} ms", ms);
    return fmt::format("{:.2f} s", ms / 1000.0);
}

}  // namespace vitrine::cli
