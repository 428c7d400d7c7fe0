#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/cli/manual.hpp"
#include "engine/config.hpp"

namespace esmm {

/// One command of the program: its flags, and what to do once they are parsed.
class Command {
 public:
  Command(CLI::App& program, const std::string& name, const std::string& purpose);

  /// A flag that is an option of Config; `value` and `help` default to the option's own.
  void config_flag(std::string_view flag, const std::string& help = {}, const std::string& value = {});
  /// Every option of Config.
  void all_config_flags();
  /// The options of Config that every command takes.
  void common_flags();
  /// A flag of this command alone.
  void flag(const std::string& name, const std::string& value, const std::string& help);
  /// --json, for a command that prints a result which scripts read, too.
  void json_flag(const std::string& result);
  void positional(const std::string& name, const std::string& help);
  /// One or more of them.
  void positionals(const std::string& name, const std::string& help);
  /// A command line that shows how it is used, below --help's flags and in the manual.
  void example(const std::string& line);

  /// What --help says, for the shells' completions and the manual.
  [[nodiscard]] CommandText text() const;

  [[nodiscard]] const std::string& name() const { return app_->get_name(); }
  [[nodiscard]] bool chosen() const { return app_->parsed(); }
  /// Throws Error (usage) for what is not a flag of this command, with the nearest one that is.
  void check_unknown() const;

  [[nodiscard]] bool given(const std::string& flag) const;
  /// The text of a flag; empty when it was not given.
  [[nodiscard]] std::string get(const std::string& flag) const;
  /// All the texts of a positional.
  [[nodiscard]] std::vector<std::string> all(const std::string& name) const;
  /// `get`; Error (usage) when it was not given.
  [[nodiscard]] std::string require(const std::string& flag, const std::string& remedy) const;
  [[nodiscard]] bool json() const { return given("--json"); }
  /// The flags of Config that were given.
  [[nodiscard]] std::vector<FlagValue> config_values() const;

  std::function<void(const Command&)> run;

 private:
  CLI::App* app_;
  std::vector<std::string> config_flags_, examples_;
};

}  // namespace esmm
