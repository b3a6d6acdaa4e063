#include "CStandardDescriptors.h"

#include <errno.h>
#include <fcntl.h>

// A program that is started with a standard descriptor closed would get its number for the next thing it opens, and write its
// log there. In C, since Swift's runtime opens descriptors before main. The mode is the wrong one on purpose: reads and writes
// fail with EBADF as before.
__attribute__((constructor)) static void df2redis_occupy_closed_descriptors(void) {
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) == -1 && errno == EBADF) {
            // The lowest number that is free: this one.
            (void)open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY);
        }
    }
}
