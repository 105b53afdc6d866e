#include "app/engine.h"

namespace vitrine::cli {
namespace {

class LibraryEngine final : public Engine {
public:
    Result<std::vector<MachineListing>> list_machines() override { return vitrine::list_machines(); }
    Result<Target> parse_target(std::string_view text) override { return vitrine::parse_target(text); }
    Result<std::unique_ptr<Machine>> open(const Target& target, const OpenOptions& options) override {
        return open_machine(target, options);
    }
    Result<std::unique_ptr<Guest>> attach(std::unique_ptr<Machine> machine, const AttachOptions& options) override {
        return Guest::attach(std::move(machine), options);
    }
    [[nodiscard]] std::span<const Table* const> tables() const override { return all_tables(); }
    Result<std::unique_ptr<Database>> open_database(std::vector<NamedGuest> guests) override {
        return Database::open(std::move(guests));
    }
};

}  // namespace

std::unique_ptr<Engine> make_engine() { return std::make_unique<LibraryEngine>(); }

}  // namespace vitrine::cli
