{
  "target_defaults": {
    "include_dirs": ["<!(node -p \"require('path').dirname(require.resolve('nan'))\")", "build/nghttp2/include"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-cast-function-type", "-fvisibility=hidden"]
  },
  "targets": [
    {
      # All that does not see the layout of pinned structures.
      "target_name": "engine",
      "type": "static_library",
      "sources": ["<!@(ls native/core/*.cc native/core/*/*.cc native/binding/*.cc | grep -v -e binding/capture.cc -e binding/module.cc)"]
    },
    {
      "target_name": "weft",
      "dependencies": ["engine"],
      "libraries": ["-lbpf", "<(module_root_dir)/build/nghttp2/libnghttp2.a", "-Wl,--exclude-libs,ALL"],
      "sources": ["native/binding/module.cc", "native/binding/capture.cc", "<!@(ls native/capture/*.cc)"]
    },
    {
      # What tests upgrade to: the kernel side with another layout of a pinned structure.
      "target_name": "weft_changed",
      "dependencies": ["engine"],
      "defines": ["WEFT_TEST_CHANGED_LAYOUT"],
      "libraries": ["-lbpf", "<(module_root_dir)/build/nghttp2/libnghttp2.a", "-Wl,--exclude-libs,ALL"],
      "sources": ["native/binding/module.cc", "native/binding/capture.cc", "<!@(ls native/capture/*.cc)"]
    }
  ]
}
