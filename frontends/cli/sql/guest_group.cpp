#include "sql/guest_group.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrine::cli {
namespace {

std::string short_name(const Target& target) {
    const bool is_path = target.kind == TargetKind::file || target.kind == TargetKind::raw ||
                         target.kind == TargetKind::qmp;
    const auto slash = is_path ? target.text.find_last_of('/') : std::string::npos;
    std::string name = slash == std::string::npos ? target.text : target.text.substr(slash + 1);
    return name.empty() ? target.text : name;
}

}  // namespace

std::vector<std::string> guest_names(std::span<const Target> targets, std::span<const std::string> texts) {
    std::vector<std::string> names;
    for (const Target& target : targets) names.push_back(short_name(target));
    std::vector<std::string> unique = names;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (std::count(names.begin(), names.end(), names[i]) > 1) unique[i] = texts[i];
    }
    return unique;
}

OrExit<std::unique_ptr<GuestGroup>> GuestGroup::attach(Session& session, std::span<const std::string> texts) {
    std::vector<Target> targets;
    for (const std::string& text : texts) {
        auto target = session.engine().parse_target(text);
        if (!target) return tl::make_unexpected(session.fail(target.error(), Phase::target));
        targets.push_back(std::move(*target));
        if (std::count(texts.begin(), texts.end(), text) > 1) {
            return tl::make_unexpected(session.usage(fmt::format("{} is given twice", text)));
        }
    }
    auto group = std::make_unique<GuestGroup>();
    const auto names = guest_names(targets, texts);
    for (std::size_t i = 0; i < texts.size(); ++i) {
        auto guest = session.attach(texts[i]);
        if (!guest) return tl::make_unexpected(guest.error());
        group->members_.push_back({names[i], texts[i], std::move(*guest)});
    }
    if (auto opened = group->open_database(session); !opened) {
        return tl::make_unexpected(session.fail(opened.error(), Phase::sql));
    }
    return group;
}

Result<void> GuestGroup::open_database(Session& session) {
    std::vector<NamedGuest> named;
    for (const Member& member : members_) {
        if (member.guest) named.push_back({member.name, *member.guest});
    }
    database_.reset();
    if (!named.empty()) database_ = VITRINE_TRY(session.engine().open_database(std::move(named)));
    return {};
}

std::vector<Guest*> GuestGroup::guests() const {
    std::vector<Guest*> guests;
    for (const Member& member : members_) {
        if (member.guest) guests.push_back(member.guest.get());
    }
    return guests;
}

bool GuestGroup::any_live() const {
    const auto all = guests();
    return std::any_of(all.begin(), all.end(), [](const Guest* guest) { return guest->machine().is_live(); });
}

int GuestGroup::reattach(Session& session) {
    database_.reset();
    int code = kExitOk;
    for (Member& member : members_) {
        member.guest.reset();
        auto guest = session.attach(member.target);
        if (guest) {
            member.guest = std::move(*guest);
            session.messages().note(fmt::format("{}: attached anew: {}", member.name, member.guest->kernel().release));
        } else {
            if (code == kExitOk) code = guest.error();
            session.messages().note(fmt::format("{}: the guest has ended, or cannot be reached any more", member.name));
        }
    }
    if (auto opened = open_database(session); !opened) return session.fail(opened.error(), Phase::sql);
    return code;
}

std::vector<std::string> GuestGroup::descriptions() const {
    std::vector<std::string> lines;
    for (const Member& member : members_) {
        if (member.guest)
            lines.push_back(
                fmt::format("{}: {} {}", member.name, member.guest->kernel().os, member.guest->kernel().release));
    }
    return lines;
}

}  // namespace vitrine::cli
