{
  "target_defaults": {
    "include_dirs": ["<!(node -p \"require('path').dirname(require.resolve('nan'))\")", "build/nghttp2/include"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
    "cflags_cc": ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-cast-function-type", "-fvisibility=hidden"],
    "libraries": ["-lbpf", "<(module_root_dir)/build/nghttp2/libnghttp2.a", "-Wl,--exclude-libs,ALL"]
  },
  "targets": [
    {
      "target_name": "weft",
      "sources": ["<!@(ls native/core/*.cc native/core/*/*.cc native/binding/*.cc native/capture/*.cc)"]
    },
    {
      # What tests upgrade to: the kernel side with another layout of a pinned structure.
      "target_name": "weft_changed",
      "defines": ["WEFT_TEST_CHANGED_LAYOUT"],
      "sources": ["<!@(ls native/core/*.cc native/core/*/*.cc native/binding/*.cc native/capture/*.cc)"]
    }
  ]
}
