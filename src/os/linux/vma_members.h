// Indices into kMappingMembers.
#pragma once

#include <cstddef>

namespace vitrine::linux_os::mapping {

enum : std::size_t {
    kTree,
    kList,
    kCount,
    kStart,
    kEnd,
    kFlags,
    kProtection,
    kPageOffset,
    kFile,
    kOperations,
    kPrivateData,
    kMm,
    kNext,
    kPrevious,
    kAnonymousName,
    kShared,
    kStartBrk,
    kBrk,
    kStartStack,
    kContextFlags,
    kCompat,
    kOperationsName,
    kSpecialName,
    kAnonymousText,
    kFileMode,
    kFileInode,
    kBackingPath,
    kInodeNumber,
    kInodeSuperblock,
    kDevice,
    kPathDentry,
    kDentryInode,
};

}  // namespace vitrine::linux_os::mapping
