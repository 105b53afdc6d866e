// Ways in which a guest's memory can be wrong or hostile, by name: what the line `damage = NAME` in a description stands for.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "support/synthetic_guest.h"

namespace vitrine::test {

using Damage = std::function<void(SyntheticGuest&)>;
using DamagesByName = std::map<std::string, Damage, std::less<>>;

const DamagesByName& damages();

namespace damage {

inline constexpr Gva kNowhere{0xffff'a000'dead'0000};  // canonical and mapped by nothing here

Gva module_link(const SyntheticGuest& g, std::size_t i);
inline const SyntheticTask& user_task(const SyntheticGuest& g) { return g.tasks.at(3); }
// Every entry of this table points at the table itself.
void map_to_itself(SyntheticGuest& g, Gpa table);

// Parts of damages().
DamagesByName of_threads_and_modules();
DamagesByName of_processes();

}  // namespace damage
}  // namespace vitrine::test
