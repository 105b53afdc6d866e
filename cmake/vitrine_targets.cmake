# Compile options for the project's own targets, and a helper that makes one static library per layer.

add_library(vitrine_options INTERFACE)
target_compile_options(vitrine_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wimplicit-fallthrough
  $<$<COMPILE_LANGUAGE:CXX>:-Wconversion -Wsign-conversion -Wold-style-cast -Wnon-virtual-dtor -Woverloaded-virtual>
  -fstack-protector-strong "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
if(VITRINE_DEVELOPER)
  target_compile_options(vitrine_options INTERFACE -Werror)
endif()
if(VITRINE_SANITIZE)
  add_compile_options(-fsanitize=${VITRINE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${VITRINE_SANITIZE})
  # It does not see fences; the one there is orders plain copies of guest memory, which no thread of ours writes.
  if(VITRINE_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)
  endif()
elseif(CMAKE_BUILD_TYPE MATCHES "Rel")
  add_compile_options($<$<NOT:$<BOOL:${VITRINE_FUZZ}>>:-D_FORTIFY_SOURCE=2>)
endif()
if(VITRINE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=address,undefined)
endif()

# The library is for other compilers than this one, too: machine code beside what link-time optimisation reads.
if(CMAKE_INTERPROCEDURAL_OPTIMIZATION AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(CMAKE_C_COMPILE_OPTIONS_IPO -flto=auto -ffat-lto-objects)
  set(CMAKE_CXX_COMPILE_OPTIONS_IPO -flto=auto -ffat-lto-objects)
endif()

find_program(VITRINE_CCACHE ccache)
if(VITRINE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${VITRINE_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${VITRINE_CCACHE})
endif()

find_program(VITRINE_MOLD mold)
if(VITRINE_MOLD AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  add_link_options(-fuse-ld=mold)
endif()

# vitrine_layer(NAME FOLDERS... [LINK libs...]): static library vitrine_NAME of all sources in the given folders (recursive).
function(vitrine_layer name)
  cmake_parse_arguments(ARG "" "" "FOLDERS;LINK" ${ARGN})
  set(sources)
  foreach(folder IN LISTS ARG_FOLDERS)
    file(GLOB_RECURSE found CONFIGURE_DEPENDS ${folder}/*.cpp ${folder}/*.c)
    list(APPEND sources ${found})
  endforeach()
  if(NOT sources)
    add_library(vitrine_${name} INTERFACE)
    target_include_directories(vitrine_${name} INTERFACE ${CMAKE_SOURCE_DIR}/include)
    target_link_libraries(vitrine_${name} INTERFACE ${ARG_LINK})
    return()
  endif()
  add_library(vitrine_${name} STATIC ${sources})
  add_library(vitrine::${name} ALIAS vitrine_${name})
  target_include_directories(vitrine_${name} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>
    PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(vitrine_${name} PUBLIC ${ARG_LINK} PRIVATE $<BUILD_INTERFACE:vitrine_options>)
endfunction()
