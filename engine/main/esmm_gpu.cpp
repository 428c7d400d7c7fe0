#include "engine/cli/app.hpp"

int main(int argc, char** argv) {
  return esmm::run(argc, argv);
}
