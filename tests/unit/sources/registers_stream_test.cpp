// MSRs out of QEMU's device stream: a stream made here, whole, cut, shifted and with decoys.
#include <gtest/gtest.h>

#include <random>
#include <string_view>
#include <vector>

#include "sources/registers/device_stream.h"

namespace vitrine {
namespace {

class Stream {
public:
    Stream() { u32(0x5145564d).u32(3); }
    Stream& u8(std::uint64_t v) { return number(v, 1); }
    Stream& u16(std::uint64_t v) { return number(v, 2); }
    Stream& u32(std::uint64_t v) { return number(v, 4); }
    Stream& u64(std::uint64_t v) { return number(v, 8); }
    Stream& text(std::string_view t) {
        u8(t.size());
        for (const char c : t) u8(static_cast<unsigned char>(c));
        return *this;
    }
    Stream& header(std::string_view name, std::uint32_t instance, std::uint32_t version) {
        return u8(4).u32(section_++).text(name).u32(instance).u32(version);
    }
    Stream& other_section() {
        header("timer", 0, 2);
        for (int i = 0; i < 100; ++i) u64(0x0403637075ull * static_cast<unsigned>(i));
        return u8(0x7e).u32(section_ - 1);
    }
    // vmstate_x86_cpu up to the MSRs, and something behind them.
    Stream& cpu(const VcpuState& s, std::uint32_t version = 12) {
        header("cpu", s.index, version);
        for (const std::uint64_t r : s.gpr) u64(r);
        u64(s.rip).u64(s.rflags).u32(0x00c0c2b3);
        u16(0x37f).u16(0).u16(0).u16(0);
        for (int i = 0; i < 8; ++i) u64(0).u16(0);
        const std::uint64_t bases[6] = {0, 0, 0, 0, s.fs_base, s.gs_base};
        for (int i = 0; i < 6; ++i) segment(i == 1 ? s.cs : 0, bases[i], 0xffffffff, 0xaf9b00);
        segment(0, 0, 0, 0x8200).segment(0x40, 0xfffffe0000003000, 0x4087, 0x8b00);
        segment(0, s.gdt.base, s.gdt.limit, 0).segment(0, s.idt.base, s.idt.limit, 0);
        u32(*s.sysenter_cs).u64(*s.sysenter_esp).u64(*s.sysenter_eip);
        u64(s.cr0).u64(s.cr2).u64(s.cr3).u64(s.cr4);
        for (int i = 0; i < 8; ++i) u64(0);
        u32(0xffffffff).u32(0x1f80);
        for (int i = 0; i < 32; ++i) u64(0x4242);
        u64(s.efer).u64(*s.star).u64(*s.lstar).u64(*s.cstar).u64(*s.sfmask).u64(*s.kernel_gs_base);
        u32(0x30000).u64(0x0007040600070406).u32(1);
        return u8(0x7e).u32(section_ - 1);
    }
    [[nodiscard]] std::vector<std::byte> bytes() const { return bytes_; }

private:
    Stream& segment(std::uint64_t selector, std::uint64_t base, std::uint64_t limit, std::uint64_t flags) {
        return u32(selector).u64(base).u32(limit).u32(flags);
    }
    Stream& number(std::uint64_t v, unsigned size) {
        for (unsigned i = size; i-- > 0;) bytes_.push_back(static_cast<std::byte>(v >> (8 * i)));
        return *this;
    }
    std::vector<std::byte> bytes_;
    std::uint32_t section_ = 1;
};

VcpuState complete(std::uint32_t index) {
    VcpuState s;
    s.index = index;
    s.cr0 = 0x80050033;
    s.cr2 = 0x1234;
    s.cr3 = 0x3a1a000 + index * 0x1000;
    s.cr4 = 0x6b0;
    s.efer = 0xd01;
    s.rip = 0xffffffff81c17a0b;
    s.rflags = 0x246;
    for (std::size_t i = 0; i < 16; ++i) s.gpr[i] = 0x1000 * i + index;
    s.cs = 0x10;
    s.gs_base = 0xffff88800f000000 + index;
    s.fs_base = 0x7f00;
    s.idt = {0xfffffe0000000000, 0xfff};
    s.gdt = {0xfffffe0000001000 + index * 0x3b000, 0x7f};
    s.star = 0x23001000000000;
    s.lstar = 0xffffffff81c00080;
    s.cstar = 0xffffffff81c01870;
    s.sfmask = 0x257fd5;
    s.kernel_gs_base = 0x7f8000;
    s.sysenter_cs = 0x10;
    s.sysenter_esp = 0xfffffe0000003000;
    s.sysenter_eip = 0xffffffff81c017b0;
    return s;
}

// What the register dump gave some time before the stream was taken.
VcpuState known(std::uint32_t index) {
    VcpuState s = complete(index);
    s.rip = 1;
    s.cr3 = 2;
    s.gpr = {};
    s.star = s.lstar = s.cstar = s.sfmask = s.kernel_gs_base = s.sysenter_cs = s.sysenter_esp = s.sysenter_eip =
        std::nullopt;
    return s;
}

TEST(DeviceStream, TakesTheWholeStateOfEveryVcpu) {
    const auto bytes =
        Stream().other_section().cpu(complete(0)).other_section().cpu(complete(1)).other_section().u8(0).bytes();
    const auto states = read_device_stream(bytes, {known(0), known(1)});
    ASSERT_TRUE(states);
    ASSERT_EQ(states->size(), 2u);
    for (std::uint32_t i = 0; i < 2; ++i) {
        const VcpuState& s = (*states)[i];
        const VcpuState wanted = complete(i);
        EXPECT_EQ(s.index, i);
        EXPECT_EQ(s.gpr, wanted.gpr);
        EXPECT_EQ(s.rip, wanted.rip);
        EXPECT_EQ(s.rflags, wanted.rflags);
        EXPECT_EQ(s.cs, wanted.cs);
        EXPECT_EQ(s.fs_base, wanted.fs_base);
        EXPECT_EQ(s.gs_base, wanted.gs_base);
        EXPECT_EQ(s.cr2, wanted.cr2);
        EXPECT_EQ(s.cr3, wanted.cr3);
        EXPECT_EQ(s.star, wanted.star);
        EXPECT_EQ(s.lstar, wanted.lstar);
        EXPECT_EQ(s.cstar, wanted.cstar);
        EXPECT_EQ(s.sfmask, wanted.sfmask);
        EXPECT_EQ(s.kernel_gs_base, wanted.kernel_gs_base);
        EXPECT_EQ(s.sysenter_cs, wanted.sysenter_cs);
        EXPECT_EQ(s.sysenter_esp, wanted.sysenter_esp);
        EXPECT_EQ(s.sysenter_eip, wanted.sysenter_eip);
    }
}

TEST(DeviceStream, NoAnswerUnlessEveryAnchorAgrees) {
    const auto bytes = Stream().cpu(complete(0)).bytes();
    const auto has_msrs = [&](const VcpuState& what) {
        const auto states = read_device_stream(bytes, {what});
        EXPECT_TRUE(states && states->size() == 1);
        return states->front().lstar.has_value();
    };
    EXPECT_TRUE(has_msrs(known(0)));
    EXPECT_FALSE(has_msrs(known(1)));  // another vCPU's
    VcpuState s = known(0);
    s.idt.base += 8;
    EXPECT_FALSE(has_msrs(s));
    s = known(0);
    s.gdt.limit = 0xff;
    EXPECT_FALSE(has_msrs(s));
    s = known(0);
    s.efer = 0x501;
    EXPECT_FALSE(has_msrs(s));
    s = known(0);
    s.cr4 ^= 0x80;
    EXPECT_FALSE(has_msrs(s));
    s = known(0);
    s.cr0 ^= 8;
    EXPECT_FALSE(has_msrs(s));
    EXPECT_EQ(read_device_stream(bytes, {s})->front().rip, 1u) << "left as it was";
}

TEST(DeviceStream, AnotherVersionIsNotGuessedAt) {
    const auto bytes = Stream().cpu(complete(0), 13).bytes();
    EXPECT_FALSE(read_device_stream(bytes, {known(0)})->front().lstar);
}

TEST(DeviceStream, TwoThatFitAreNone) {
    VcpuState decoy = complete(0);
    decoy.lstar = 0xffffffffdead0000;
    const auto bytes = Stream().cpu(complete(0)).cpu(decoy).bytes();
    const auto states = read_device_stream(bytes, {known(0)});
    ASSERT_TRUE(states);
    EXPECT_FALSE(states->front().lstar);
}

TEST(DeviceStream, AnotherStreamIsRefused) {
    EXPECT_EQ(read_device_stream({}, {known(0)}).error().code, Errc::malformed);
    auto bytes = Stream().cpu(complete(0)).bytes();
    bytes[7] = std::byte{2};
    EXPECT_EQ(read_device_stream(bytes, {known(0)}).error().code, Errc::malformed);
}

TEST(DeviceStream, CutOffAnywhere) {
    const auto bytes = Stream().other_section().cpu(complete(0)).bytes();
    for (std::size_t length = 8; length < bytes.size(); ++length) {
        const auto states = read_device_stream(std::span(bytes).first(length), {known(0)});
        ASSERT_TRUE(states);
        const VcpuState& s = states->front();
        ASSERT_TRUE(!s.lstar || s.kernel_gs_base == complete(0).kernel_gs_base);
    }
}

TEST(DeviceStream, MutatedStreamNeverGivesHalfAnAnswer) {
    const auto whole = Stream().cpu(complete(0)).cpu(complete(1)).bytes();
    std::mt19937 random(3);
    for (int round = 0; round < 5000; ++round) {
        auto bytes = whole;
        for (int i = 0; i < 2; ++i) bytes[8 + random() % (bytes.size() - 8)] = static_cast<std::byte>(random());
        const auto states = read_device_stream(bytes, {known(0), known(1)});
        ASSERT_TRUE(states);
        for (const VcpuState& s : *states) EXPECT_EQ(s.lstar.has_value(), s.star.has_value());
    }
}

}  // namespace
}  // namespace vitrine
