#include "os/linux/module_type_cache.h"

#include <random>
#include <set>

namespace vitrine::linux_os {
namespace {

std::uint64_t random_key() {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
}

}  // namespace

ModuleTypeCache::ModuleTypeCache(std::size_t most_bytes) : most_bytes_(most_bytes), empty_(random_key()) {}

ModuleTypeCache::Print ModuleTypeCache::print_of(const ModuleBtf& module) const {
    KeyedHash hash = empty_;
    hash.add(module.blob);
    return {module.module, module.blob.size(), hash.value()};
}

ModuleTypeCache::Types ModuleTypeCache::find(const ModuleBtf& module, const Print& print) const {
    const auto at = kept_.find(place_of(module));
    return at != kept_.end() && at->second.print == print ? at->second.types : nullptr;
}

void ModuleTypeCache::keep(const ModuleBtf& module, Print print, Types types) {
    if (const auto at = kept_.find(place_of(module)); at != kept_.end()) forget(at);
    const std::size_t size = types->own_bytes();
    if (kept_.size() >= kMostModules || size > most_bytes_ - bytes_) return;
    bytes_ += size;
    kept_.emplace(place_of(module), Kept{std::move(print), std::move(types)});
}

void ModuleTypeCache::forget_others(std::span<const ModuleBtf> listed) {
    std::set<Place> places;
    for (const ModuleBtf& module : listed) places.insert(place_of(module));
    for (auto at = kept_.begin(); at != kept_.end();) at = places.contains(at->first) ? std::next(at) : forget(at);
}

ModuleTypeCache::Map::iterator ModuleTypeCache::forget(Map::iterator at) {
    bytes_ -= at->second.types->own_bytes();
    return kept_.erase(at);
}

}  // namespace vitrine::linux_os
