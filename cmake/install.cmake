# What `make install` puts in place beside the program: the library with its headers, and the CMake package `vitrine`
# (target vitrine::vitrine). Included after all targets are made.
include(CMakePackageConfigHelpers)

set(VITRINE_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/vitrine)
set(VITRINE_LAYERS base memory types symbols sources guest query)

add_library(vitrine_all INTERFACE)
add_library(vitrine::vitrine ALIAS vitrine_all)
set_target_properties(vitrine_all PROPERTIES EXPORT_NAME vitrine)
set(vitrine_exported vitrine_all)
foreach(layer IN LISTS VITRINE_LAYERS)
  target_link_libraries(vitrine_all INTERFACE vitrine_${layer})
  set_target_properties(vitrine_${layer} PROPERTIES EXPORT_NAME ${layer})
  list(APPEND vitrine_exported vitrine_${layer})
endforeach()
target_compile_features(vitrine_all INTERFACE cxx_std_20)

install(TARGETS ${vitrine_exported} EXPORT vitrine-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(EXPORT vitrine-targets NAMESPACE vitrine:: DESTINATION ${VITRINE_PACKAGE_DIR}
        COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/vitrine DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT development FILES_MATCHING PATTERN "*.h")

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/vitrineConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/vitrineConfig.cmake INSTALL_DESTINATION ${VITRINE_PACKAGE_DIR})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/vitrineConfigVersion.cmake
  VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/vitrineConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/vitrineConfigVersion.cmake
        DESTINATION ${VITRINE_PACKAGE_DIR} COMPONENT development)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")
