// A whole object with everything in it, for people and for other programs: read once, bounded in depth, number and
// time, whatever the types (the guest's own) and the memory look like. What cannot be read says so in its place.
//
//   fmt::print("{}", object_text(task, {}));         // "*(struct task_struct *)0xffff888003a40000 = {\n\t.pid = 1, ..."
//   ObjectNode tree = describe(task, {});            // the same as a tree
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "vitrine/types/object.h"

namespace vitrine {

struct DescribeOptions {
    std::size_t elements = 16;     // of each array
    std::size_t characters = 256;  // of each text
    std::size_t nodes = 16'384;    // of the whole
    unsigned depth = 12;           // structures and arrays inside each other
    std::chrono::milliseconds time{2'000};
    bool follow_text = true;                    // show what a pointer to characters points to
    std::function<std::string(Gva)> symbol_of;  // "name+0x10", or "" for addresses without; may be empty
};

enum class NodeKind : std::uint8_t {
    members,   // of a structure or union: children. Those of anonymous ones stand among their parent's
    elements,  // of an array: children, without names
    text,      // array of characters
    pointer,
    number,
    boolean,
    enumerator,  // of an enumeration, named or not
    real,
    unreadable,  // text says why
    opaque,      // a type without a value: void, a function; text names the kind
};

struct ObjectNode {
    std::string name;  // any bytes, cut at 128
    NodeKind kind = NodeKind::opaque;
    std::string type;              // C text, any bytes, cut at 256
    std::uint64_t bit_offset = 0;  // from the start of the whole
    std::uint32_t bit_size = 0;    // of bit-fields
    bool is_signed = false;
    std::uint64_t number = 0;  // of pointers, numbers, booleans, enumerators: sign-extended if is_signed
    double real = 0;
    std::string text;          // of texts; the name of an enumerator, "" if it has none
    std::string symbol;        // of pointers
    std::string pointed_text;  // of pointers to characters
    std::uint64_t count = 0;   // members or elements that there are
    bool cut = false;          // not all of them, or not all of the text
    std::vector<ObjectNode> children;
};

// Of a pointer: the pointer, not what it points to.
[[nodiscard]] ObjectNode describe(const Object& object, const DescribeOptions& options);

// As C text, ready for a terminal. It begins with the object's address as an expression, or with `label` if there is one.
[[nodiscard]] std::string object_text(const Object& object, const DescribeOptions& options,
                                      std::string_view label = {});
// The same of a tree that was made of the object.
[[nodiscard]] std::string tree_text(const Object& object, const ObjectNode& tree, std::string_view label = {});
// One line, without the name: `1`, `"swapper/0"`, `0xffffffff81000000 <init_task>`; "{...}" for members and elements.
[[nodiscard]] std::string value_text(const ObjectNode& node);

}  // namespace vitrine
