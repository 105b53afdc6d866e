#include "sources/registers/device_stream.h"

#include <bit>
#include <optional>

#include "vitrine/base/bytes.h"

namespace vitrine {

namespace {

constexpr std::uint32_t kMagic = 0x5145564d;  // "QEVM"
constexpr std::uint32_t kStreamVersion = 3;
constexpr std::byte kSectionFull{0x04};
constexpr std::size_t kMaxSections = 65536;  // "cpu" in other data: bounded work on a made-up stream

// QEMU target/i386/machine.c, vmstate_x86_cpu, versions 11 and 12: members in this order, big-endian, unpadded.
constexpr std::uint64_t kGpr = 0;  // regs[16], in VcpuState's order
constexpr std::uint64_t kRip = kGpr + 16 * 8;
constexpr std::uint64_t kRflags = kRip + 8;
constexpr std::uint64_t kFpu = kRflags + 8 + 4;             // behind hflags
constexpr std::uint64_t kSegments = kFpu + 4 * 2 + 8 * 10;  // control words, then eight registers of 80 bits
constexpr std::uint64_t kSegmentSize = 4 + 8 + 4 + 4;       // selector, base, limit, flags
constexpr std::uint64_t kCs = kSegments + 1 * kSegmentSize;
constexpr std::uint64_t kFs = kSegments + 4 * kSegmentSize;
constexpr std::uint64_t kGs = kSegments + 5 * kSegmentSize;
constexpr std::uint64_t kGdt = kSegments + 8 * kSegmentSize;  // behind the six segments, LDT and TR
constexpr std::uint64_t kIdt = kGdt + kSegmentSize;
constexpr std::uint64_t kSysenterCs = kIdt + kSegmentSize;
constexpr std::uint64_t kSysenterEsp = kSysenterCs + 4;
constexpr std::uint64_t kSysenterEip = kSysenterEsp + 8;
constexpr std::uint64_t kCr0 = kSysenterEip + 8;
constexpr std::uint64_t kCr2 = kCr0 + 8;
constexpr std::uint64_t kCr3 = kCr2 + 8;
constexpr std::uint64_t kCr4 = kCr3 + 8;
constexpr std::uint64_t kEfer = kCr4 + 8 + 8 * 8 + 4 + 4 + 16 * 16;  // behind DR0-7, A20 mask, MXCSR and XMM0-15
constexpr std::uint64_t kStar = kEfer + 8;
constexpr std::uint64_t kLstar = kStar + 8;
constexpr std::uint64_t kCstar = kLstar + 8;
constexpr std::uint64_t kFmask = kCstar + 8;
constexpr std::uint64_t kKernelGsBase = kFmask + 8;
constexpr std::uint64_t kEnd = kKernelGsBase + 8;

// Big-endian fields of one section, whose bytes up to kEnd are known to be there.
class Section {
public:
    explicit Section(ByteView bytes) : bytes_(bytes) {}
    [[nodiscard]] std::uint64_t u64(std::uint64_t at) const { return __builtin_bswap64(bytes_.u64(at).value_or(0)); }
    [[nodiscard]] std::uint32_t u32(std::uint64_t at) const { return __builtin_bswap32(bytes_.u32(at).value_or(0)); }
    [[nodiscard]] std::uint64_t base(std::uint64_t segment) const { return u64(segment + 4); }
    [[nodiscard]] DescriptorTable table(std::uint64_t segment) const { return {base(segment), u32(segment + 12)}; }

private:
    ByteView bytes_;
};

bool same(const DescriptorTable& a, const DescriptorTable& b) { return a.base == b.base && a.limit == b.limit; }

bool proves(const Section& s, const VcpuState& known) {
    return same(s.table(kIdt), known.idt) && same(s.table(kGdt), known.gdt) && s.u64(kCr0) == known.cr0 &&
           s.u64(kCr4) == known.cr4 && s.u64(kEfer) == known.efer;
}

VcpuState state_of(const Section& s, std::uint32_t index) {
    VcpuState v;
    v.index = index;
    for (std::size_t i = 0; i < v.gpr.size(); ++i) v.gpr[i] = s.u64(kGpr + 8 * i);
    v.rip = s.u64(kRip);
    v.rflags = s.u64(kRflags);
    v.cs = static_cast<std::uint16_t>(s.u32(kCs));
    v.fs_base = s.base(kFs);
    v.gs_base = s.base(kGs);
    v.gdt = s.table(kGdt);
    v.idt = s.table(kIdt);
    v.cr0 = s.u64(kCr0);
    v.cr2 = s.u64(kCr2);
    v.cr3 = s.u64(kCr3);
    v.cr4 = s.u64(kCr4);
    v.efer = s.u64(kEfer);
    v.sysenter_cs = s.u32(kSysenterCs);
    v.sysenter_esp = s.u64(kSysenterEsp);
    v.sysenter_eip = s.u64(kSysenterEip);
    v.star = s.u64(kStar);
    v.lstar = s.u64(kLstar);
    v.cstar = s.u64(kCstar);
    v.sfmask = s.u64(kFmask);
    v.kernel_gs_base = s.u64(kKernelGsBase);
    return v;
}

// QEMU migration/savevm.c save_section_header(): type, section id, length of the name, name, instance, version.
struct Header {
    std::uint32_t instance = 0;
    std::uint64_t body = 0;
};
std::optional<Header> cpu_section_at(ByteView stream, std::uint64_t at) {
    constexpr std::string_view kName = "cpu";
    const auto bytes = stream.sub(at, 1 + 4 + 1 + kName.size() + 4 + 4);
    if (!bytes || bytes->span()[0] != kSectionFull || bytes->u8(5) != kName.size()) return std::nullopt;
    const auto* name = reinterpret_cast<const char*>(bytes->span().data() + 6);
    if (std::string_view(name, kName.size()) != kName) return std::nullopt;
    const std::uint32_t version = __builtin_bswap32(bytes->u32(13).value_or(0));
    if (version < 11 || version > 12) return std::nullopt;
    return Header{__builtin_bswap32(bytes->u32(9).value_or(0)), at + bytes->size()};
}

}  // namespace

Result<std::vector<VcpuState>> read_device_stream(std::span<const std::byte> stream, std::vector<VcpuState> known) {
    const ByteView view(stream);
    if (__builtin_bswap32(view.u32(0).value_or(0)) != kMagic ||
        __builtin_bswap32(view.u32(4).value_or(0)) != kStreamVersion) {
        return Error::make(Errc::malformed, Origin::source, "device stream of the monitor");
    }
    std::vector<unsigned> proven(known.size(), 0);
    std::vector<VcpuState> states = known;
    std::size_t sections = 0;
    for (std::uint64_t at = 8; at < stream.size() && sections < kMaxSections; ++at) {
        if (stream[static_cast<std::size_t>(at)] != kSectionFull) continue;
        const auto header = cpu_section_at(view, at);
        if (!header) continue;
        ++sections;
        const auto body = view.sub(header->body, kEnd);
        if (!body) continue;
        const Section section(*body);
        for (std::size_t i = 0; i < known.size(); ++i) {
            if (known[i].index != header->instance || !proves(section, known[i])) continue;
            states[i] = state_of(section, header->instance);
            ++proven[i];
        }
    }
    // Two sections that both fit: which of them is real is not known, so neither is taken.
    for (std::size_t i = 0; i < known.size(); ++i) {
        if (proven[i] > 1) states[i] = known[i];
    }
    return states;
}

}  // namespace vitrine
