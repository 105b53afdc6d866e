// The struct page behind an address (mm/sparse-vmemmap.c: pfn_to_page() is vmemmap + pfn), and the slab it may belong
// to (mm/slab.h, mm/slub.c).
#include <fmt/format.h>

#include <bit>

#include "os/linux/identify/facts.h"

namespace vitrine::linux_os {
namespace {

constexpr std::size_t kMostName = 128;

Result<std::uint64_t> number_in(const Object& object, std::string_view path) {
    const Object member = VITRINE_TRY(object.member(path));
    return member.as_unsigned();
}

// memdesc_flags_t, a structure of one member, since 6.18.
Result<std::uint64_t> flags_of(const Object& page) {
    const Object flags = VITRINE_TRY(page.member("flags"));
    return flags.kind() == TypeKind::structure ? number_in(flags, "f") : flags.as_unsigned();
}

class PageReader {
public:
    PageReader(Facts& facts, LinuxGuest& guest, const KernelAreas& areas, const TypeCatalog& types)
        : facts_(facts), guest_(guest), areas_(areas), types_(types) {}

    Result<void> run(Gpa address) {
        const std::uint64_t pfn = address.value / kPageSize;
        const TypeId page_type = VITRINE_TRY(types_.find("struct page"));
        page_size_ = types_.size_of(page_type).value_or(0);
        if (page_size_ == 0 || page_size_ > kPageSize || !areas_.vmemmap) {
            return Error::with_text(Errc::not_found, Origin::guest,
                                    "this kernel does not tell where its struct pages lie");
        }
        const Gva at = areas_.vmemmap->wrap_plus(pfn * page_size_);
        const Object page = VITRINE_TRY(Object(guest_.space(), types_, page_type, at).snapshot());
        const Gva head_at = VITRINE_TRY(head_of(page, at));
        const std::uint64_t index = (at.value - head_at.value) / page_size_;
        facts_.add("page", head_at == at
                               ? fmt::format("pfn {:#x}, struct page {:#x}", pfn, at.value)
                               : fmt::format("pfn {:#x}, struct page {:#x}, page {} of the compound page {:#x}", pfn,
                                             at.value, index, head_at.value));
        const Object head = head_at == at ? page
                                          : VITRINE_TRY(Object(guest_.space(), types_, page_type, head_at).snapshot());
        const std::uint64_t flags = VITRINE_TRY(add_flags(head));
        const auto is_slab = add_type(head, flags);
        if (!is_slab) facts_.unknown("slab cache", "this kernel's types do not tell which pages are slabs");
        else if (*is_slab) add_slab(head, head_at, pfn - index, address);
        return {};
    }

private:
    // The first struct page of the compound page that this one belongs to: bit 0 of its second word marks a tail page,
    // and the rest leads to the head: its address, or (since 7.0) a mask for this one's (include/linux/page-flags.h,
    // _compound_head()).
    Result<Gva> head_of(const Object& page, Gva at) {
        auto word = page.member("compound_head");
        if (!word) word = page.member("compound_info");
        if (!word) return word.error();
        const std::uint64_t info = VITRINE_TRY(word->as_unsigned());
        if ((info & 1) == 0) return at;
        const Gva head{info - 1};
        if (head >= *areas_.vmemmap && head <= at && (at.value - head.value) % page_size_ == 0) return head;
        if (const std::uint64_t span = 0 - head.value; std::has_single_bit(span) && span >= 2 * page_size_)
            return Gva{at.value & head.value};
        return Error::make_at(Errc::malformed, Origin::guest, at.value, "the head of a compound page");
    }

    // Names of the flags: those in front of __NR_PAGEFLAGS are no aliases.
    Result<std::uint64_t> add_flags(const Object& head) {
        const std::uint64_t flags = VITRINE_TRY(flags_of(head));
        const auto names = types_.find("enum pageflags");
        const auto count = types_.enumerator("enum pageflags", "__NR_PAGEFLAGS");
        if (!names || !count) {
            facts_.unknown("page flags", fmt::format("{:#x}: this kernel's types do not name them", flags));
            return flags;
        }
        std::string text;
        for (const Enumerator& e : types_.enumerators(*types_.type(*names))) {
            const std::string_view name = types_.name(e.name).substr(0, kMostName);
            if (name == "__NR_PAGEFLAGS") break;
            if (e.value < 0 || e.value > 63 || (flags >> e.value & 1) == 0) continue;
            text += (text.empty() ? "" : " ") + std::string(name);
            if (text.size() > 2048) break;
        }
        facts_.add("page flags", fmt::format("{:#x}{}{}", flags, text.empty() ? "" : " ", text));
        return flags;
    }

    // Is it a slab? nullopt: not told. A flag until 6.9, since then one of the page types (46df8e73a4a3): the upper byte of page.page_type
    // (4ffca5a96678, v6.12).
    std::optional<bool> add_type(const Object& head, std::uint64_t flags) {
        if (const auto bit = types_.enumerator("enum pageflags", "PG_slab"))
            return *bit >= 0 && *bit < 64 && (flags >> *bit & 1) != 0;
        const auto kinds = types_.find("enum pagetype");
        const auto word = head.member("page_type");
        if (!kinds || !word) return std::nullopt;
        const auto slab = types_.enumerator("enum pagetype", "PGTY_slab");
        const auto value = word->as_unsigned();
        if (!slab || !value) return std::nullopt;
        const auto kind = static_cast<std::int64_t>(*value >> 24);
        for (const Enumerator& e : types_.enumerators(*types_.type(*kinds))) {
            // The last one only bounds the count of mappings that shares the word.
            if (e.value != kind || e.value == 0xff) continue;
            facts_.add("page type", std::string(types_.name(e.name).substr(0, kMostName)));
            break;
        }
        return kind == *slab;
    }

    void add_slab(const Object& head, Gva head_at, std::uint64_t head_pfn, Gpa address) {
        // struct slab lies over struct page since 5.17 (d122019bf061).
        const auto slab_type = types_.find("struct slab");
        const Object slab = slab_type ? Object(guest_.space(), types_, *slab_type, head_at) : head;
        const auto copy = slab.snapshot();
        const auto cache = copy ? copy->member("slab_cache") : copy;
        const auto found = cache ? cache->deref() : cache;
        if (!found) return facts_.unknown("slab cache", found.error().to_string());
        const auto name_at = found->member("name");
        const auto name = name_at ? name_at->as_string(kMostName) : Result<GuestString>(name_at.error());
        if (!name) facts_.unknown("slab cache", name.error().to_string());
        else facts_.add("slab cache", fmt::format("{}, kmem_cache {:#x}", name->bytes, found->address()->value));
        if (const auto object = slab_object(*copy, *found, head_pfn, address); !object)
            facts_.unknown("slab object", object.error().to_string());
        else facts_.add("slab object", *object);
    }

    // nearest_obj() of include/linux/slub_def.h (mm/slab.h since 6.8); only SLUB keeps `oo`.
    Result<std::string> slab_object(const Object& slab, const Object& cache, std::uint64_t head_pfn, Gpa address) {
        if (!cache.member("oo"))
            return Error::with_text(Errc::unsupported, Origin::guest, "this kernel's slab allocator is not SLUB");
        const std::uint64_t size = VITRINE_TRY(number_in(cache, "size"));
        const std::uint64_t used = VITRINE_TRY(number_in(cache, "object_size"));
        const std::uint64_t objects = VITRINE_TRY(number_in(slab, "objects"));
        const auto padding_at = cache.member("red_left_pad");
        const std::uint64_t padding = padding_at ? VITRINE_TRY(padding_at->as_unsigned()) : 0;
        const std::uint64_t inside = address.value - head_pfn * kPageSize;
        if (size == 0 || used > size || padding > size - used) {
            return Error::with_text(Errc::malformed, Origin::guest,
                                    fmt::format("objects of {} bytes in slots of {}", used, size));
        }
        const std::uint64_t index = inside / size;
        if (index >= objects) return fmt::format("none: behind the {} objects of the slab", objects);
        const auto slot = areas_.in_direct_map(Gpa{head_pfn * kPageSize + index * size + padding});
        if (!slot) return Error::with_text(Errc::out_of_range, Origin::guest, "the slab lies in no direct map");
        const std::uint64_t in_slot = inside % size;
        if (in_slot < padding)
            return fmt::format("{:#x}, {} bytes in front of it, object {} of {}", slot->value, padding - in_slot, index,
                               objects);
        return fmt::format("{:#x}+{:#x}, {} bytes, object {} of {}", slot->value, in_slot - padding, used, index,
                           objects);
    }

    Facts& facts_;
    LinuxGuest& guest_;
    const KernelAreas& areas_;
    const TypeCatalog& types_;
    std::uint64_t page_size_ = 0;
};

}  // namespace

std::optional<bool> is_reserved(LinuxGuest& guest, const KernelAreas& areas, Gpa address) {
    const auto types = guest.types();
    if (!types || !areas.vmemmap || !areas.max_pfn || address.value / kPageSize >= *areas.max_pfn) return std::nullopt;
    const auto type = (*types)->find("struct page");
    const auto bit = (*types)->enumerator("enum pageflags", "PG_reserved");
    if (!type || !bit || *bit < 0 || *bit > 63) return std::nullopt;
    const std::uint64_t size = (*types)->size_of(*type).value_or(0);
    const Object page(guest.space(), **types, *type, areas.vmemmap->wrap_plus(address.value / kPageSize * size));
    const auto flags = flags_of(page);
    return flags ? std::optional((*flags >> *bit & 1) != 0) : std::nullopt;
}

void add_page(Facts& facts, LinuxGuest& guest, const KernelAreas& areas, Gpa address) {
    if (!areas.max_pfn) return facts.unknown("page", "max_pfn cannot be read");
    if (address.value / kPageSize >= *areas.max_pfn)
        return facts.add("page", "none: behind the last page that the kernel manages");
    const auto types = guest.types();
    if (!types) return facts.unknown("page", types.error().to_string());
    if (const auto done = PageReader(facts, guest, areas, **types).run(address); !done)
        facts.unknown("page", done.error().to_string());
}

}  // namespace vitrine::linux_os
