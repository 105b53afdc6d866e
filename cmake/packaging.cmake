# Debian packages, one for each install component: `make package`, or cpack in the build folder. Included after everything that
# installs something. What installs without a component is of the program.
find_program(VITRINE_DPKG dpkg)
if(NOT VITRINE_DPKG)
  return()
endif()
set(VITRINE_MAINTAINER "Vitrine maintainers <maintainers@vitrine.invalid>" CACHE STRING "Maintainer of the Debian packages")
set(VITRINE_HOMEPAGE "" CACHE STRING "Home page that the Debian packages name")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME vitrine)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT ${VITRINE_MAINTAINER})
set(CPACK_PACKAGE_HOMEPAGE_URL ${VITRINE_HOMEPAGE})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # it would become the first line of every description
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_SOURCE_DIR}/build/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_VERBATIM_VARIABLES ON)
# Whatever the umask is.
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
    WORLD_EXECUTE)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/cmake/package_date.cmake)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package_files.cmake)
set(CPACK_VITRINE_SOURCE ${PROJECT_SOURCE_DIR})

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

# The part that all descriptions share; the first line of each is the short one.
set(about "Vitrine finds the kernel of a Linux guest in raw memory, decodes the kernel's
own symbols and types out of it, and answers from those: processes, threads,
open files, sockets, memory maps, mounts and modules, as commands or as SQL.
Nothing is installed in the guest, and no profile or symbol file is needed.")

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME vitrine)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SUGGESTS "bash-completion, qemu-system-x86")
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "look into virtual machines from outside
${about}
.
This package has the program with its manual pages and the completions for
bash, zsh and fish.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libvitrine-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
# What cmake/vitrineConfig.cmake.in looks for.
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libdw-dev, libelf-dev, libexpected-dev, libfmt-dev, libsqlite3-dev (>= 3.38), \
libzstd-dev, nlohmann-json3-dev, pkg-config")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "cmake, g++, vitrine")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "look into virtual machines from outside - C++ library
${about}
.
This package has the C++20 library (static), its headers and the CMake package
vitrine.")

# The bindings install themselves as this component where they are built.
set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-vitrine)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS python3)
if(TARGET vitrine_python)
  get_target_property(suffix vitrine_python SUFFIX)
  if(suffix MATCHES "cpython-3([0-9]+)")  # the interpreter that it is made for, and no other
    math(EXPR next "${CMAKE_MATCH_1} + 1")
    set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "python3 (>= 3.${CMAKE_MATCH_1}~), python3 (<< 3.${next})")
  endif()
endif()
set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/packaging/debian/python/postinst
    ${PROJECT_SOURCE_DIR}/packaging/debian/python/prerm)
set(CPACK_DEBIAN_PYTHON_DESCRIPTION "look into virtual machines from outside - Python 3 module
${about}
.
This package has the module vitrine for Python 3.")

get_cmake_property(installed COMPONENTS)
set(CPACK_COMPONENTS_ALL program development)
if(python IN_LIST installed)
  list(APPEND CPACK_COMPONENTS_ALL python)
endif()
include(CPack)
