# Run by cpack once the files of all packages are in place: makes of them what Debian's policy wants. Programs and libraries lose
# what only a debugger needs; manual pages are compressed; each package gets its copyright and its changelogs.
find_program(strip strip REQUIRED)
find_program(gzip gzip REQUIRED)
# Without it CPack makes packages that depend on no library, and only says so in passing.
find_program(shlibdeps dpkg-shlibdeps)
if(NOT shlibdeps)
  message(FATAL_ERROR "dpkg-shlibdeps is missing, which finds the libraries that the packages depend on: install dpkg-dev")
endif()

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(strip_binaries folder)
  file(GLOB_RECURSE archives ${folder}/usr/lib/*.a)
  foreach(file IN LISTS archives)
    # Without what link-time optimisation keeps: another release of the compiler could not read it.
    run(${strip} --strip-debug --enable-deterministic-archives --remove-section=.comment --remove-section=.gnu.lto_*
        --remove-section=.gnu.debuglto_* --strip-symbol=__gnu_lto_v1 ${file})
  endforeach()
  file(GLOB_RECURSE binaries ${folder}/usr/bin/* ${folder}/usr/lib/*.so)
  foreach(file IN LISTS binaries)
    file(READ ${file} magic LIMIT 4 HEX)
    if(magic STREQUAL "7f454c46")
      run(${strip} --remove-section=.comment --remove-section=.note --strip-unneeded ${file})
    endif()
  endforeach()
endfunction()

# The changelog in Debian's form; where the release is described is the project's own.
function(write_documents folder package)
  set(documents ${folder}/usr/share/doc/${package})
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)  # of SOURCE_DATE_EPOCH
  file(MAKE_DIRECTORY ${documents})
  file(WRITE ${documents}/changelog.Debian
       "vitrine (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium\n\n"
       "  * Release ${CPACK_PACKAGE_VERSION}; see changelog.gz.\n\n"
       " -- ${CPACK_PACKAGE_CONTACT}  ${date}\n")
  file(COPY_FILE ${CPACK_VITRINE_SOURCE}/CHANGELOG.md ${documents}/changelog)
  run(${gzip} -9nf ${documents}/changelog ${documents}/changelog.Debian)
  file(COPY_FILE ${CPACK_VITRINE_SOURCE}/packaging/debian/copyright ${documents}/copyright)
  file(CHMOD ${documents}/changelog.gz ${documents}/changelog.Debian.gz ${documents}/copyright
       PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  # The same in Debian's form: copyright, changelog.gz.
  file(REMOVE ${documents}/LICENSE ${documents}/CHANGELOG.md)
endfunction()

# Folders that came to be as parents of files have the umask's permissions.
function(open_folders folder)
  file(GLOB_RECURSE paths LIST_DIRECTORIES true ${folder}/*)
  foreach(path IN LISTS paths)
    if(IS_DIRECTORY ${path} AND NOT IS_SYMLINK ${path})
      file(CHMOD ${path} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    endif()
  endforeach()
endfunction()

foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  set(folder ${CPACK_TEMPORARY_DIRECTORY}/${component})
  string(TOUPPER ${component} upper)
  if(NOT IS_DIRECTORY ${folder}/usr)
    message(FATAL_ERROR "nothing of the component ${component} is in ${folder}")
  endif()
  strip_binaries(${folder})
  file(GLOB_RECURSE manuals ${folder}/usr/share/man/*.[1-9])
  foreach(file IN LISTS manuals)
    run(${gzip} -9nf ${file})
  endforeach()
  write_documents(${folder} ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  open_folders(${folder})
endforeach()
