#include <nlohmann/json.hpp>

#include "os/linux/profile_cache.h"
#include "os/linux/profile_hash.h"

namespace vitrine::linux_os {
namespace {

using nlohmann::json;

constexpr int kFormat = 2;
constexpr std::size_t kMaxText = 1u << 20;
constexpr std::uint64_t kMaxImage = 1u << 30;

Error malformed(const char* what) { return Error::make(Errc::malformed, Origin::guest, what); }

// Of everything a profile may hold: one written by another version of Vitrine would seem to say that the kernel lacks what
// that version did not ask for.
std::uint64_t needs_fingerprint() {
    std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    const auto mix = [&hash](std::string_view word) {
        for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
        hash = (hash ^ 0xff) * 0x100000001b3;
    };
    for (const FieldNeed& wanted : field_needs()) {
        mix(wanted.name);
        mix(wanted.structure);
        for (const std::string_view path : wanted.paths) mix(path);
        hash = (hash ^ static_cast<unsigned char>(wanted.shape)) * 0x100000001b3;
    }
    for (std::size_t i = 0; i < kStructCount; ++i) mix(struct_name(static_cast<StructId>(i)));
    for (const std::string_view name : kSymbolNames) mix(name);
    return hash;
}

// Typed access that never throws: a wrong type or a missing key is nullopt.
std::optional<std::uint64_t> number(const json& object, std::string_view key) {
    const auto it = object.is_object() ? object.find(key) : object.end();
    if (!object.is_object() || it == object.end() || !it->is_number_unsigned()) return std::nullopt;
    return it->get<std::uint64_t>();
}

std::optional<std::string> text(const json& object, std::string_view key, std::size_t max) {
    const auto it = object.is_object() ? object.find(key) : object.end();
    if (!object.is_object() || it == object.end() || !it->is_string()) return std::nullopt;
    const auto& value = it->get_ref<const std::string&>();
    if (value.size() > max) return std::nullopt;
    return value;
}

// Symbols inside the image are kept relative to _text, since the load address differs at each boot; others (per-CPU, absolute) as they are.
bool in_image(const KernelImage& image, Gva va) {
    return va >= image.text_va && va.value - image.text_va.value < kMaxImage;
}

json write_symbols(const ProvenKernel& kernel) {
    json out = json::object();
    for (std::size_t i = 0; i < kSymbolCount; ++i) {
        const auto va = kernel.symbols.get(static_cast<SymbolId>(i));
        if (!va) continue;
        const bool relative = in_image(kernel.image, *va);
        out[std::string(kSymbolNames[i])] = json::array(
            {relative ? "image" : "absolute", relative ? va->value - kernel.image.text_va.value : va->value});
    }
    return out;
}

Result<void> parse_symbols(const json& in, const KernelImage& image, KernelSymbols& symbols) {
    if (!in.is_object()) return malformed("symbols of a cached profile");
    for (std::size_t i = 0; i < kSymbolCount; ++i) {
        const auto it = in.find(kSymbolNames[i]);
        if (it == in.end()) continue;
        if (!it->is_array() || it->size() != 2 || !(*it)[0].is_string() || !(*it)[1].is_number_unsigned())
            return malformed("symbol of a cached profile");
        const auto value = (*it)[1].get<std::uint64_t>();
        const bool relative = (*it)[0].get_ref<const std::string&>() == "image";
        if (relative && value >= kMaxImage) return malformed("symbol of a cached profile");
        symbols.set(static_cast<SymbolId>(i), Gva{relative ? image.text_va.value + value : value});
    }
    return {};
}

json write_layout(const Layout& layout) {
    json fields = json::object();
    for (const FieldNeed& wanted : field_needs()) {
        const FieldSlot& slot = layout.slot(wanted.id);
        if (slot.present) fields[std::string(wanted.name)] = json::array({slot.offset, slot.size, slot.alternative});
    }
    json sizes = json::object();
    for (std::size_t i = 0; i < kStructCount; ++i) {
        sizes[std::string(struct_name(static_cast<StructId>(i)))] = layout.struct_size(static_cast<StructId>(i));
    }
    return {{"fields", fields}, {"sizes", sizes}, {"module_core_memory_mask", layout.module_core_memory_mask}};
}

Result<void> parse_layout(const json& in, Layout& layout) {
    constexpr std::uint64_t kMaxOffset = 1u << 20;
    if (!in.is_object() || !in.contains("fields") || !in.contains("sizes"))
        return malformed("layout of a cached profile");
    for (const FieldNeed& wanted : field_needs()) {
        const auto it = in["fields"].find(wanted.name);
        if (!in["fields"].is_object() || it == in["fields"].end()) continue;
        if (!it->is_array() || it->size() != 3) return malformed("member of a cached profile");
        std::array<std::uint64_t, 3> v{};
        for (std::size_t i = 0; i < 3; ++i) {
            if (!(*it)[i].is_number_unsigned()) return malformed("member of a cached profile");
            v[i] = (*it)[i].get<std::uint64_t>();
        }
        if (v[0] > kMaxOffset || v[1] > kMaxOffset || v[2] > 2) return malformed("member of a cached profile");
        layout.set(wanted.id, {static_cast<std::uint32_t>(v[0]), static_cast<std::uint32_t>(v[1]), true,
                               static_cast<std::uint8_t>(v[2])});
    }
    for (std::size_t i = 0; i < kStructCount; ++i) {
        const auto size = number(in["sizes"], struct_name(static_cast<StructId>(i)));
        if (size && *size <= kMaxOffset)
            layout.set_struct_size(static_cast<StructId>(i), static_cast<std::uint32_t>(*size));
    }
    const auto mask = number(in, "module_core_memory_mask");
    if (!mask || *mask > UINT32_MAX) return malformed("layout of a cached profile");
    layout.module_core_memory_mask = static_cast<std::uint32_t>(*mask);
    return {};
}

// Of the region only the tables: how far it reaches else is what the guest's page tables say, and in no hash.
json write_kallsyms(const ProvenKernel& kernel) {
    const KallsymsLayout& k = kernel.kallsyms;
    const TablesSpan span = tables_span(k);
    const std::uint64_t begin = span.begin / 8 * 8;  // as aligned as the tables were in the whole
    const bool based = k.addressing == KallsymsAddressing::base_relative_before ||
                       k.addressing == KallsymsAddressing::base_relative_after;
    return {{"region", kernel.region_va.value + begin - kernel.image.text_va.value},
            {"region_size", span.end - begin},
            {"token_table", k.token_table - begin},
            {"token_index", k.token_index - begin},
            {"markers", k.markers - begin},
            {"names", k.names - begin},
            {"num_syms_at", k.num_syms_at - begin},
            {"num_syms", k.num_syms},
            {"num_markers", k.num_markers},
            {"marker_size", k.marker_size},
            {"uleb_lengths", k.uleb_lengths ? 1u : 0u},
            {"addressing", static_cast<unsigned>(k.addressing)},
            {"absolute_percpu", k.absolute_percpu ? 1u : 0u},
            {"addresses", k.addresses - begin},
            {"relative_base", based ? k.relative_base - kernel.image.text_va.value : 0},
            {"seqs", k.seqs_of_names ? *k.seqs_of_names - begin : 0},
            {"seqs_entry_size", k.seqs_entry_size}};
}

Result<void> parse_kallsyms(const json& in, const KernelImage& image, ProvenKernel& kernel) {
    KallsymsLayout& k = kernel.kallsyms;
    bool good = true;
    const auto take = [&](std::string_view key, std::uint64_t max) {
        const auto value = number(in, key);
        if (!value || *value > max) good = false;
        return value.value_or(0);
    };
    constexpr std::uint64_t kAny = UINT64_MAX;
    kernel.region_va = image.text_va.wrap_plus(take("region", kMaxImage));
    kernel.region_size = take("region_size", 128u << 20);
    k.token_table = take("token_table", kernel.region_size);
    k.token_index = take("token_index", kernel.region_size);
    k.markers = take("markers", kernel.region_size);
    k.names = take("names", kernel.region_size);
    k.num_syms_at = take("num_syms_at", kernel.region_size);
    k.num_syms = static_cast<std::uint32_t>(take("num_syms", 1u << 22));
    k.num_markers = static_cast<std::uint32_t>(take("num_markers", 1u << 15));
    k.marker_size = static_cast<std::uint8_t>(take("marker_size", 8));
    k.uleb_lengths = take("uleb_lengths", 1) != 0;
    k.addressing = static_cast<KallsymsAddressing>(take("addressing", 3));
    k.absolute_percpu = take("absolute_percpu", 1) != 0;
    k.addresses = take("addresses", kernel.region_size);
    // Modulo 2^64: the base may lie below _text.
    k.relative_base = image.text_va.value + take("relative_base", kAny);
    const std::uint64_t seqs = take("seqs", kernel.region_size);
    if (seqs != 0) k.seqs_of_names = seqs;
    k.seqs_entry_size = static_cast<std::uint8_t>(take("seqs_entry_size", 4));
    if (!good || (k.marker_size != 4 && k.marker_size != 8) || k.seqs_entry_size < 3)
        return malformed("symbol table of a cached profile");
    return {};
}

}  // namespace

std::string write_profile(const ProvenKernel& kernel, std::uint64_t tables_hash, std::uint64_t btf_hash) {
    const json out = {{"vitrine_profile", kFormat},
                      {"needs", needs_fingerprint()},
                      {"build_id", kernel.build_id},
                      {"banner", kernel.banner},
                      {"account", kernel.layout_account},
                      {"tables_hash", tables_hash},
                      {"btf_hash", btf_hash},
                      {"symbols", write_symbols(kernel)},
                      {"layout", write_layout(kernel.layout)},
                      {"kallsyms", write_kallsyms(kernel)}};
    return out.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<CachedProfile> parse_profile(std::string_view source, const KernelImage& image) {
    if (source.size() > kMaxText) return Error::make(Errc::limit, Origin::guest, "cached profile");
    // The JSON parser recurses; a profile nests three deep.
    int depth = 0;
    for (const char c : source) {
        depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
        if (depth > 16) return malformed("cached profile");
    }
    const json in = json::parse(source, nullptr, false);
    if (in.is_discarded() || number(in, "vitrine_profile") != kFormat) return malformed("cached profile");
    if (number(in, "needs") != needs_fingerprint()) return malformed("cached profile of another version");
    CachedProfile profile;
    ProvenKernel& kernel = profile.kernel;
    kernel.image = image;
    const auto build_id = text(in, "build_id", 128);
    const auto banner = text(in, "banner", 1024);
    const auto account = text(in, "account", 1024);
    const auto tables = number(in, "tables_hash");
    const auto btf = number(in, "btf_hash");
    if (!build_id || !banner || !account || !tables || !btf || !in.contains("symbols") || !in.contains("layout") ||
        !in.contains("kallsyms")) {
        return malformed("cached profile");
    }
    kernel.build_id = *build_id;
    kernel.banner = *banner;
    kernel.layout_account = *account;
    kernel.layout_source = LayoutSource::cache;
    profile.tables_hash = *tables;
    profile.btf_hash = *btf;
    VITRINE_CHECK(parse_symbols(in["symbols"], image, kernel.symbols));
    VITRINE_CHECK(parse_layout(in["layout"], kernel.layout));
    VITRINE_CHECK(parse_kallsyms(in["kallsyms"], image, kernel));
    if (!kernel.layout.missing_required().empty()) return malformed("layout of a cached profile");
    return profile;
}

}  // namespace vitrine::linux_os
