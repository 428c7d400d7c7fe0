#pragma once

namespace esmm {

/// The program: parses the command line, runs the command, prints its error as one line. Returns the exit code.
int run(int argc, char** argv);

}  // namespace esmm
