// What the commands ask of the library. Tests put a made-up machine behind it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "vitrine/guest/guest.h"
#include "vitrine/machine/machine.h"
#include "vitrine/query/database.h"
#include "vitrine/query/table.h"

namespace vitrine::cli {

class Engine {
public:
    Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    virtual ~Engine() = default;

    virtual Result<std::vector<MachineListing>> list_machines() = 0;
    virtual Result<Target> parse_target(std::string_view text) = 0;
    virtual Result<std::unique_ptr<Machine>> open(const Target& target, const OpenOptions& options) = 0;
    virtual Result<std::unique_ptr<Guest>> attach(std::unique_ptr<Machine> machine, const AttachOptions& options) = 0;
    [[nodiscard]] virtual std::span<const Table* const> tables() const = 0;
    virtual Result<std::unique_ptr<Database>> open_database(std::vector<NamedGuest> guests) = 0;
};

[[nodiscard]] std::unique_ptr<Engine> make_engine();  // the library itself

}  // namespace vitrine::cli
