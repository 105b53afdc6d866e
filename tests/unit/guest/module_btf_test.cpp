// Types of modules out of a list that a guest may have forged: what is given is what is there, the rest is named, and neither
// costs more than a real kernel's could.
#include "os/linux/module_btf.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstring>

#include "os/linux/module_type_cache.h"
#include "support/btf_writer.h"
#include "support/guest_test_support.h"
#include "support/vector_store.h"

namespace vitrine::test {
namespace {

using linux_os::list_module_btf;
using linux_os::ModuleBtfSnapshot;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Base {
    std::uint32_t ids = 0;  // one past the last
    std::uint32_t string_bytes = 0;
};

// A guest with modules that have types; tests damage what they like before they ask.
class ModuleBtf : public ::testing::Test {
protected:
    ModuleBtf() : made_(describe()) {
        std::vector<std::byte> kernel = made_.types.btf();
        const auto types = parse_btf(kernel, "kernel");
        base_.ids = static_cast<std::uint32_t>((*types)->size());
        base_.string_bytes = btf_extent(kernel)->string_bytes;
        kernel_ = std::move(kernel);
    }
    static GuestDescription describe() {
        GuestDescription d;
        d.types.seed = 90;
        return d;
    }
    [[nodiscard]] BtfWriter writer() const { return {base_.ids, base_.string_bytes}; }
    [[nodiscard]] std::vector<std::byte> sample() const {
        BtfWriter w = writer();
        const auto task = find("task_struct");
        w.structure("of_module", 16, {{"task", w.pointer(task), 0, 0}, {"list", find("list_head"), 0, 0}});
        return w.blob();
    }
    [[nodiscard]] TypeId find(std::string_view name) const { return *(*parse_btf(kernel_, "kernel"))->find(name); }

    // The guest's list: one entry for each, that is said to have so many bytes at that address.
    struct Entry {
        Gva object, btf;
    };
    Entry add(Gva module, Gva data, std::uint32_t size) {
        const Entry entry{made_.alloc(made_.types.size("btf_module")), made_.alloc(made_.types.size("btf"))};
        made_.set(entry.object, "btf_module.module", module);
        made_.set(entry.object, "btf_module.btf", entry.btf);
        made_.set(entry.btf, "btf.data", data);
        made_.set32(entry.btf, "btf.data_size", size);
        list_.push_back(made_.member(entry.object, "btf_module.list"));
        return entry;
    }
    Entry add(std::size_t module, std::span<const std::byte> blob) {
        const Gva at = made_.alloc(blob.size());
        made_.ram.write(made_.physical(at), blob);
        return add(made_.modules[module].address, at, static_cast<std::uint32_t>(blob.size()));
    }
    void link() {
        std::vector<Gva> nodes = {made_.symbol("btf_modules")};
        nodes.insert(nodes.end(), list_.begin(), list_.end());
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            const Gva next = nodes[(i + 1) % nodes.size()];
            made_.put(nodes[i], next);
            made_.put(next.wrap_plus(8), nodes[i]);
        }
    }
    // `size` bytes of addresses that all show one page, which begins as BTF does.
    Gva alias_of_one_page(std::uint64_t size) {
        const Gva page = made_.alloc(kPageSize, kPageSize);
        made_.put(page, std::uint16_t{0xeb9f});
        constexpr Gva kAt{0xffff'c900'0000'0000};
        made_.tables().map_range(kAt, made_.physical(page), kPageSize, kPageSize, SyntheticGuest::Tables::kWrite);
        for (std::uint64_t at = kPageSize; at < size; at += kPageSize)
            made_.tables().map(kAt.wrap_plus(at), made_.physical(page), kPageSize, SyntheticGuest::Tables::kWrite);
        return kAt;
    }
    void attach_guest() {
        auto attached = attach(made_.machine(made_.vcpus()));
        ASSERT_TRUE(attached) << attached.error().to_string();
        guest_ = std::move(*attached);
    }
    ModuleBtfSnapshot list(WalkBudget budget = {1u << 16, std::chrono::milliseconds(5000)}) {
        attach_guest();
        if (!guest_) return {};
        auto listed = list_module_btf(*guest_->as_linux(), budget);
        EXPECT_TRUE(listed) << listed.error().to_string();
        return listed ? std::move(*listed) : ModuleBtfSnapshot{};
    }
    Result<std::shared_ptr<const TypeCatalog>> parse(const ModuleBtfSnapshot& listed) {
        const auto kernel = linux_os::kernel_btf(*guest_->as_linux());
        if (!kernel) return kernel.error();
        return parse_split_btf(*kernel, listed.modules.at(0).blob, "module");
    }
    // A blob that was read must be refused when it is parsed, in no time.
    void expect_refused(const std::vector<std::byte>& blob) {
        add(0, blob);
        link();
        const Bounded bounded("a forged blob");
        const ModuleBtfSnapshot listed = list();
        ASSERT_THAT(listed.modules, SizeIs(1));
        EXPECT_EQ(listed.modules[0].blob, blob);
        EXPECT_EQ(listed.report.end, WalkEnd::complete);
        const auto types = parse(listed);
        ASSERT_FALSE(types);
        EXPECT_EQ(types.error().code, Errc::malformed) << types.error().to_string();
    }

    SyntheticGuest made_;
    std::vector<std::byte> kernel_;
    Base base_;
    std::vector<Gva> list_;
    std::unique_ptr<Guest> guest_;
};

TEST_F(ModuleBtf, GivesEachModulesTypesOverTheKernels) {
    const auto blob = sample();
    add(1, blob);
    add(0, blob);
    link();
    const ModuleBtfSnapshot listed = list();
    EXPECT_EQ(listed.report.end, WalkEnd::complete);
    ASSERT_THAT(listed.modules, SizeIs(2));
    EXPECT_THAT(listed.unread, IsEmpty());
    EXPECT_EQ(listed.modules[0].module, made_.modules[1].name);
    EXPECT_EQ(listed.modules[1].module, made_.modules[0].name);
    EXPECT_EQ(listed.modules[0].blob, blob);
    const auto types = parse(listed);
    ASSERT_TRUE(types) << types.error().to_string();
    const auto field = (*types)->field(*(*types)->find("of_module"), "list");
    ASSERT_TRUE(field) << field.error().to_string();
    EXPECT_EQ(field->type, find("list_head"));
}

TEST_F(ModuleBtf, EmptyListIsNoModules) {
    link();
    const ModuleBtfSnapshot listed = list();
    EXPECT_EQ(listed.report.end, WalkEnd::complete);
    EXPECT_THAT(listed.modules, IsEmpty());
    EXPECT_THAT(listed.unread, IsEmpty());
}

TEST_F(ModuleBtf, WhatCannotBeReadIsNamed) {
    const auto blob = sample();
    const Gva module = made_.modules[0].address;
    const Gva nowhere{0xffff'c100'0000'0000};
    add(0, blob);
    add(module, nowhere, 4096);                                    // no memory there
    add(module, Gva{0x1000}, 4096);                                // an address of a program
    add(module, Gva{~0ull - 100}, 4096);                           // past the end of all addresses
    add(module, made_.direct(Gpa{0}), 0xffff'ffff);                // 4 GiB
    add(module, made_.direct(Gpa{0}), 0);                          // nothing
    add(module, made_.text, 4096);                                 // not BTF
    made_.set(add(0, blob).object, "btf_module.btf", Gva{});       // no types
    made_.set(add(0, blob).object, "btf_module.btf", nowhere);     // types nowhere
    made_.set(add(0, blob).object, "btf_module.module", Gva{});    // of no module
    made_.set(add(0, blob).object, "btf_module.module", nowhere);  // of a module nowhere
    link();
    const Bounded bounded("modules whose types lie nowhere");
    const ModuleBtfSnapshot listed = list();
    EXPECT_EQ(listed.report.end, WalkEnd::complete);
    EXPECT_EQ(listed.report.nodes, 11u);
    EXPECT_THAT(listed.unread, SizeIs(8));
    ASSERT_THAT(listed.modules, SizeIs(3));
    EXPECT_EQ(listed.unread[0], made_.modules[0].name);
    EXPECT_EQ(listed.modules[1].module, "?");
    EXPECT_EQ(listed.modules[2].module, "?");
}

// Addresses that all lead to one page, many times over: 16 MiB each, 64 of them. Four are given.
TEST_F(ModuleBtf, HugeSizesCostNoMoreThanABound) {
    constexpr std::uint32_t kSize = 16u << 20;
    const Gva huge = alias_of_one_page(kSize);
    for (int i = 0; i < 64; ++i) add(made_.modules[0].address, huge, kSize);
    link();
    const ModuleBtfSnapshot listed = list();
    EXPECT_THAT(listed.modules, SizeIs(4));
    EXPECT_THAT(listed.unread, SizeIs(60));
    EXPECT_EQ(listed.report.end, WalkEnd::complete);
}

// Each can be read up to its last page: nothing is given, and no more is read than if all could.
TEST_F(ModuleBtf, FailuresAtTheEndCostNoMoreThanSuccesses) {
    constexpr std::uint32_t kSize = 16u << 20;
    const Gva huge = alias_of_one_page(kSize - kPageSize);
    for (int i = 0; i < 2000; ++i) add(made_.modules[0].address, huge, kSize);
    link();
    const Bounded bounded("2000 blobs of 16 MiB that fail at their end", 3.0);
    const ModuleBtfSnapshot listed = list();
    EXPECT_THAT(listed.modules, IsEmpty());
    EXPECT_THAT(listed.unread, SizeIs(2000));
    EXPECT_EQ(listed.report.end, WalkEnd::complete);
}

TEST_F(ModuleBtf, AListThatNeverEndsIsCut) {
    const auto blob = sample();
    const Gva first = made_.member(add(0, blob).object, "btf_module.list");
    const Gva second = made_.member(add(1, blob).object, "btf_module.list");
    link();
    made_.put(second, first);  // back to the first, not to the head
    made_.put(first.wrap_plus(8), second);
    const Bounded bounded("a circle without its head");
    const ModuleBtfSnapshot listed = list();
    EXPECT_NE(listed.report.end, WalkEnd::complete);
    EXPECT_LE(listed.report.nodes, 4u);
}

TEST_F(ModuleBtf, MoreModulesThanTheBudgetAreSaidToBeCut) {
    const auto blob = sample();
    for (int i = 0; i < 20; ++i) add(0, blob);
    link();
    const ModuleBtfSnapshot listed = list({5, std::chrono::milliseconds(5000)});
    EXPECT_EQ(listed.report.end, WalkEnd::budget);
    EXPECT_THAT(listed.modules, SizeIs(5));
}

TEST_F(ModuleBtf, NamesAreBounded) {
    const Gva module = made_.alloc(made_.types.size("module"));
    made_.put_text(made_.member(module, "module.name"), std::string(500, 'x'));
    const auto blob = sample();
    add(module, made_.alloc(8), 8);
    link();
    const ModuleBtfSnapshot listed = list();
    ASSERT_THAT(listed.unread, SizeIs(1));
    EXPECT_LE(listed.unread[0].size(), 64u);
}

TEST_F(ModuleBtf, WithoutTheListSaysSo) {
    GuestDescription d = describe();
    d.types.leave_out = "btf_module.list";
    const SyntheticGuest without(d);
    auto guest = attach(without.machine(without.vcpus()));
    ASSERT_TRUE(guest) << guest.error().to_string();
    const auto listed = list_module_btf(*(*guest)->as_linux());
    ASSERT_FALSE(listed);
    EXPECT_EQ(listed.error().code, Errc::not_found);
}

TEST_F(ModuleBtf, TruncatedTypesAreRefused) {
    auto blob = sample();
    blob.resize(blob.size() / 2);
    expect_refused(blob);
}

TEST_F(ModuleBtf, TypesBeyondTheLastAreRefused) {
    BtfWriter w = writer();
    w.pointer(base_.ids + 1000);
    expect_refused(w.blob());
}

TEST_F(ModuleBtf, StringsBeyondTheEndAreRefused) {
    BtfWriter w = writer();
    w.structure("x", 4, {});
    auto blob = w.blob();
    const std::uint32_t beyond = base_.string_bytes + w.string_bytes() + 1;
    std::memcpy(blob.data() + 24, &beyond, sizeof beyond);
    expect_refused(blob);
}

TEST_F(ModuleBtf, TypesThatHoldThemselvesAreRefused) {
    BtfWriter w = writer();
    const std::uint32_t self = w.next_id();
    w.structure("inner", 8, {{"outer", self + 1, 0, 0}});
    w.structure("outer", 8, {{"inner", self, 0, 0}});
    expect_refused(w.blob());
}

// A module's blob that is not split names types that its base has not: it must not be read as if it had.
TEST_F(ModuleBtf, MissingBaseIsRefused) {
    const auto blob = sample();
    add(0, blob);
    link();
    const ModuleBtfSnapshot listed = list();
    ASSERT_THAT(listed.modules, SizeIs(1));
    EXPECT_FALSE(parse_btf(listed.modules[0].blob, "alone"));
    EXPECT_FALSE(parse_split_btf(sample(), listed.modules[0].blob, "over another"));
}

// Asked for by anyone: the table names the module, and its types come after the kernel's.
TEST_F(ModuleBtf, TypesOfModulesFollowTheKernels) {
    BtfWriter other = writer();
    other.structure("of_another", 8, {{"next", other.pointer(other.next_id() - 1), 0, 0}});
    add(0, sample());
    add(1, other.blob());
    link();
    attach_guest();
    ASSERT_NE(guest_, nullptr);
    const Answer answer = ask(*guest_, "types");
    EXPECT_EQ(answer.end(), WalkEnd::complete);
    EXPECT_THAT(answer.rows.all_diagnostics(), IsEmpty());
    const std::size_t count = answer.rows.rows.size();
    ASSERT_GT(count, 2u);
    EXPECT_EQ(answer.rows.text(count - 2, "name"), "of_module");
    EXPECT_EQ(answer.rows.text(count - 2, "module"), made_.modules[0].name);
    EXPECT_EQ(answer.rows.integer(count - 2, "size"), 16);
    EXPECT_EQ(answer.rows.text(count - 1, "name"), "of_another");
    EXPECT_EQ(answer.rows.text(count - 1, "module"), made_.modules[1].name);
    for (std::size_t i = 0; i + 2 < count; ++i) ASSERT_EQ(answer.rows.at(i, "module"), Value()) << i;
}

TEST_F(ModuleBtf, OneModuleOrOneNameIsChosen) {
    BtfWriter other = writer();
    other.structure("of_another", 8, {});
    add(0, sample());
    add(1, other.blob());
    link();
    attach_guest();
    ASSERT_NE(guest_, nullptr);
    std::vector<std::string> seen;
    const auto ask_for = [&](std::string_view module, std::string_view type) {
        seen.clear();
        const auto report = guest_->as_linux()->for_each_module_types({module, type}, {}, [&](const ModuleTypes& of) {
            seen.push_back(of.module);
            EXPECT_TRUE(of.types->find(of.module == made_.modules[0].name ? "of_module" : "of_another"));
            EXPECT_TRUE(of.types->find("task_struct"));
            EXPECT_EQ(of.first, base_.ids);
            return true;
        });
        ASSERT_TRUE(report) << report.error().to_string();
        EXPECT_THAT(report->problems, IsEmpty());
    };
    ask_for("", "");
    EXPECT_THAT(seen, SizeIs(2));
    ask_for(made_.modules[1].name, "");
    EXPECT_EQ(seen, std::vector{made_.modules[1].name});
    ask_for("", "of_module");
    EXPECT_EQ(seen, std::vector{made_.modules[0].name});
    ask_for("", "of_mod");  // a part of a name is none
    EXPECT_THAT(seen, IsEmpty());
    ask_for(made_.modules[1].name, "of_module");
    EXPECT_THAT(seen, IsEmpty());
}

// Each question reads the modules' types again; parsed again are only those that are not what they were.
TEST_F(ModuleBtf, WhatWasParsedServesAgain) {
    BtfWriter other = writer();
    other.structure("of_another", 8, {});
    const auto blob = sample();
    add(0, blob);
    const Gva text = made_.alloc(4096);
    made_.ram.write(made_.physical(text), other.blob());
    const Entry changing = add(made_.modules[1].address, text, static_cast<std::uint32_t>(other.blob().size()));
    link();
    const auto store = std::dynamic_pointer_cast<vitrine::testing::VectorStore>(made_.store());
    ASSERT_NE(store, nullptr);
    auto machine = made_.machine_over(store, made_.vcpus());
    machine->live = true;  // its memory may change
    auto attached = attach(std::move(machine));
    ASSERT_TRUE(attached) << attached.error().to_string();
    guest_ = std::move(*attached);
    const auto ask_all = [&] {
        std::vector<std::shared_ptr<const TypeCatalog>> seen;
        const auto report = guest_->as_linux()->for_each_module_types({}, {}, [&](const ModuleTypes& of) {
            seen.push_back(of.types);
            return true;
        });
        EXPECT_TRUE(report && report->problems.empty());
        EXPECT_THAT(seen, SizeIs(2));
        seen.resize(2);
        return seen;
    };
    const auto first = ask_all();
    ASSERT_TRUE(first[0] && first[1]);
    EXPECT_EQ(first[0]->type(1), (*guest_->types())->type(1)) << "the kernel's types are there once";
    EXPECT_EQ(ask_all(), first);
    // The same size at the same place: only its bytes tell.
    auto renamed = other.blob();
    renamed.back() = std::byte{0};
    renamed[renamed.size() - 2] = std::byte{'x'};  // of_anothex
    made_.ram.write(made_.physical(text), renamed);
    store->bytes = made_.ram.flat();
    const auto second = ask_all();
    EXPECT_EQ(second[0], first[0]);
    EXPECT_NE(second[1], first[1]);
    ASSERT_TRUE(second[1]);
    EXPECT_TRUE(second[1]->find("of_anothex"));
    EXPECT_FALSE(second[1]->find("of_another"));
    EXPECT_TRUE(first[1]->find("of_another")) << "who asked before keeps what was given";
    // Bytes that are no types any more.
    made_.set(changing.btf, "btf.data", made_.text);
    store->bytes = made_.ram.flat();
    const auto report = guest_->as_linux()->for_each_module_types({}, {}, [](const ModuleTypes&) { return true; });
    ASSERT_TRUE(report);
    EXPECT_THAT(report->problems, SizeIs(1));
}

TEST_F(ModuleBtf, TheTypesThatAreKeptAreBounded) {
    add(0, sample());
    add(1, sample());
    link();
    auto listed = list();
    ASSERT_THAT(listed.modules, SizeIs(2));
    const auto types = parse(listed);
    ASSERT_TRUE(types) << types.error().to_string();
    const std::size_t size = (*types)->own_bytes();
    linux_os::ModuleTypeCache cache(size + size / 2);
    const auto keep = [&](const linux_os::ModuleBtf& module) { cache.keep(module, cache.print_of(module), *types); };
    const auto known = [&](const linux_os::ModuleBtf& module) { return cache.find(module, cache.print_of(module)); };
    keep(listed.modules[0]);
    keep(listed.modules[1]);  // no room
    EXPECT_EQ(cache.bytes(), size);
    EXPECT_EQ(known(listed.modules[0]), *types);
    EXPECT_EQ(known(listed.modules[1]), nullptr);
    keep(listed.modules[0]);  // in the place of itself
    EXPECT_EQ(cache.modules(), 1u);
    EXPECT_EQ(cache.bytes(), size);
    cache.forget_others(std::span(listed.modules).subspan(1));
    EXPECT_EQ(cache.bytes(), 0u);
    keep(listed.modules[1]);
    EXPECT_EQ(known(listed.modules[1]), *types);
    listed.modules[1].blob.back() ^= std::byte{1};
    EXPECT_EQ(known(listed.modules[1]), nullptr);
    listed.modules[1].blob.back() ^= std::byte{1};
    listed.modules[1].module += 'x';
    EXPECT_EQ(known(listed.modules[1]), nullptr);
    linux_os::ModuleTypeCache many;
    auto module = listed.modules[0];
    for (std::size_t i = 0; i < linux_os::ModuleTypeCache::kMostModules + 10; ++i) {
        module.module_address = Gva{i};
        many.keep(module, many.print_of(module), *types);
    }
    EXPECT_EQ(many.modules(), linux_os::ModuleTypeCache::kMostModules);
}

TEST_F(ModuleBtf, MalformedTypesAreNamedAndTheOthersListed) {
    auto cut = sample();
    cut.resize(cut.size() / 2);
    add(0, cut);
    add(1, sample());
    link();
    attach_guest();
    ASSERT_NE(guest_, nullptr);
    const Answer answer = ask(*guest_, "types");
    EXPECT_EQ(answer.end(), WalkEnd::complete);
    EXPECT_EQ(answer.rows.text(answer.rows.rows.size() - 1, "module"), made_.modules[1].name);
    EXPECT_THAT(answer.rows.all_diagnostics(), ::testing::HasSubstr("types of module " + made_.modules[0].name));
}

// Typedefs in a circle are no structure: they are accepted, and lead nowhere.
TEST_F(ModuleBtf, CyclesOfNamesEnd) {
    BtfWriter w = writer();
    const std::uint32_t self = w.next_id();
    w.type_definition("first", self + 1);
    w.type_definition("second", self);
    add(0, w.blob());
    link();
    const Bounded bounded("typedefs in a circle");
    const auto types = parse(list());
    if (!types) return;  // refused is as good
    EXPECT_EQ((*types)->strip(self), 0u);
    EXPECT_FALSE((*types)->size_of(self).has_value());
    EXPECT_LT((*types)->definition(self).size(), 100'000u);
}

}  // namespace
}  // namespace vitrine::test
