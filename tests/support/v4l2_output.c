/* For LD_PRELOAD: regular files answer the requests of V4L2 as a video output device does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <string.h>

int ioctl(int descriptor, unsigned long request, ...) {
    static int (*system_ioctl)(int, unsigned long, ...);
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    switch ((unsigned int)request) {
    case VIDIOC_QUERYCAP:
        memset(argument, 0, sizeof(struct v4l2_capability));
        ((struct v4l2_capability *)argument)->capabilities = V4L2_CAP_VIDEO_OUTPUT;
        return 0;
    case VIDIOC_G_FMT:
        return 0;
    case VIDIOC_S_FMT:
        return ((struct v4l2_format *)argument)->fmt.pix.pixelformat == V4L2_PIX_FMT_YUV420 ? 0 : -1;
    default:
        if (!system_ioctl) system_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
        return system_ioctl(descriptor, request, argument);
    }
}
