// Copies of several kernel objects of one kind, read in one call: from memory that the host's kernel has to copy, the pages of all of them come
// at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "os/linux/object_copy.h"

namespace vitrine::linux_os {

class ObjectCopies {
public:
    // Of each object its first `size` bytes.
    explicit ObjectCopies(std::size_t size) : size_(size) {}

    // Of a null pointer there is an empty copy; each other one is as ObjectCopy::read() gives it. The memory of the copies before serves again.
    void read(const AddressSpace& space, std::span<const Gva> objects) {
        if (copies_.size() < objects.size()) copies_.resize(objects.size());
        ops_.clear();
        for (std::size_t i = 0; i < objects.size(); ++i) {
            copies_[i].prepare(objects[i], objects[i].is_null() ? 0 : size_);
            if (!objects[i].is_null()) ops_.push_back({objects[i], copies_[i].bytes_});
        }
        const bool answered = space.read_batch(ops_).has_value();
        std::size_t at = 0;
        for (std::size_t i = 0; i < objects.size(); ++i) {
            if (objects[i].is_null()) continue;
            if (!answered || !ops_[at].ok) copies_[i] = ObjectCopy::read(space, objects[i], size_);
            ++at;
        }
    }
    [[nodiscard]] const ObjectCopy& operator[](std::size_t index) const { return copies_[index]; }

private:
    std::size_t size_;
    std::vector<ObjectCopy> copies_;
    std::vector<VirtualReadOp> ops_;
};

// As many bytes of an object as these members take, or `most`: those beyond are then absent of a copy.
template <class Indices>
[[nodiscard]] std::size_t bytes_for(const Members& members, const Indices& indices, std::size_t most) {
    std::size_t end = 0;
    for (const std::size_t index : indices) {
        if (members.has(index))
            end = std::max<std::size_t>(end, std::size_t{members.at(index)} + members.slot(index).size);
    }
    return std::min(end, most);
}

}  // namespace vitrine::linux_os
