// The guests that are asked together, and the database over them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "app/session.h"
#include "vitrine/query/database.h"

namespace vitrine::cli {

// How the column vm calls the guests of these targets: NAME of qemu:NAME, the name of a file without its folders; the whole target
// where two would be the same.
[[nodiscard]] std::vector<std::string> guest_names(std::span<const Target> targets, std::span<const std::string> texts);

class GuestGroup {
public:
    // Reports what fails.
    static OrExit<std::unique_ptr<GuestGroup>> attach(Session& session, std::span<const std::string> targets);

    // Null when none of the guests can be reached any more.
    [[nodiscard]] Database* database() const { return database_.get(); }
    [[nodiscard]] std::vector<Guest*> guests() const;  // those that are reached
    [[nodiscard]] std::size_t size() const { return members_.size(); }
    [[nodiscard]] bool any_live() const;

    // After a guest turned out to be another, or gone: attaches to all of them anew and tells what became of each. Returns the exit code
    // of the first that cannot be reached, or kExitOk.
    int reattach(Session& session);
    // "web1: Linux 6.1.0-56-cloud-amd64", one line for each; from the guest, not cleaned.
    [[nodiscard]] std::vector<std::string> descriptions() const;

private:
    struct Member {
        std::string name;
        std::string target;
        std::unique_ptr<Guest> guest;
    };
    Result<void> open_database(Session& session);

    std::vector<Member> members_;
    std::unique_ptr<Database> database_;  // ends before the guests
};

}  // namespace vitrine::cli
