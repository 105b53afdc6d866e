// The BTF of the kernel that runs the tests, as a real one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pahole.h"
#include "vitrine/types/catalog.h"

namespace vitrine {
namespace {

constexpr const char* kKernelBtf = "/sys/kernel/btf/vmlinux";

std::vector<std::byte> kernel_btf() {
    std::ifstream file(kKernelBtf, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    return {bytes.begin(), bytes.end()};
}

class KernelBtf : public testing::Test {
protected:
    void SetUp() override {
        blob_ = kernel_btf();
        if (blob_.empty()) GTEST_SKIP() << "this machine's kernel has no " << kKernelBtf;
        auto types = parse_btf(blob_, "BTF of this kernel");
        ASSERT_TRUE(types.has_value()) << types.error().to_string();
        types_ = *types;
    }
    std::vector<std::byte> blob_;
    std::shared_ptr<const TypeCatalog> types_;
};

TEST_F(KernelBtf, Extent) {
    const auto extent = btf_extent(std::span(blob_).first(64));
    ASSERT_TRUE(extent.has_value());
    EXPECT_EQ(extent->size, blob_.size());
}

TEST_F(KernelBtf, HoldsTheCoreStructures) {
    for (const char* name :
         {"task_struct", "mm_struct", "cred", "module", "file", "dentry", "inode", "super_block", "list_head"}) {
        const auto id = types_->find(name);
        ASSERT_TRUE(id.has_value()) << id.error().to_string();
        EXPECT_EQ(types_->type(*id)->kind, TypeKind::structure);
    }
    const TypeId task = *types_->find("task_struct");
    EXPECT_EQ(types_->field(task, "comm")->size, 16u);
    EXPECT_EQ(types_->field(task, "tasks.prev")->offset(), types_->field(task, "tasks")->offset() + 8);
    EXPECT_TRUE(types_->field(*types_->find("dentry"), "d_name.len").has_value());  // an anonymous structure in a union
    EXPECT_TRUE(types_->field(*types_->find("pid"), "numbers[0].nr").has_value());
}

TEST_F(KernelBtf, EveryNamedMemberIsFound) {
    std::size_t members = 0;
    for (TypeId id = 1; id < types_->size(); ++id) {
        const Type& type = *types_->type(id);
        if (type.kind != TypeKind::structure && type.kind != TypeKind::union_) continue;
        for (const Member& m : types_->members(type)) {
            if (m.name == 0) continue;
            const auto field = types_->field(id, types_->name(m.name));
            ASSERT_TRUE(field.has_value()) << types_->type_name(id) << ": " << field.error().to_string();
            ASSERT_EQ(field->bit_offset, m.bit_offset) << types_->type_name(id) << "." << types_->name(m.name);
            ++members;
        }
    }
    EXPECT_GT(members, 10'000u);
}

#ifdef VITRINE_TYPES_PAHOLE
TEST_F(KernelBtf, DefinitionsAgreeWithPahole) {
    for (const char* name : {"task_struct", "mm_struct", "sock", "sk_buff", "page", "dentry", "module"}) {
        const std::string command = std::string(VITRINE_TYPES_PAHOLE) + " -C " + name + " " + kKernelBtf +
                                    " 2>/dev/null";
        const std::string theirs = test::output_of(command);
        if (theirs.empty()) GTEST_SKIP() << "this pahole does not read this kernel's BTF";
        EXPECT_EQ(test::layout_comments(types_->definition(*types_->find(name))), test::layout_comments(theirs))
            << name;
    }
}
#endif

}  // namespace
}  // namespace vitrine
