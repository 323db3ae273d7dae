package io.spg99.tests;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import java.util.concurrent.Future;
import org.apache.pekko.actor.typed.Behavior;
import org.apache.pekko.actor.typed.javadsl.AbstractBehavior;

/** DESIGN.md section 3: who may know whom, and what an actor may not do. */
@AnalyzeClasses(packages = "io.spg99", importOptions = ImportOption.DoNotIncludeTests.class)
class ArchitectureTest {

    @ArchTest
    static final ArchRule modules_know_only_whom_the_design_lets_them_know = layeredArchitecture()
            .consideringOnlyDependenciesInLayers()
            .layer("storage-clients")
            .definedBy("io.spg99.storage..")
            .layer("storage-nodes")
            .definedBy("io.spg99.nodes..")
            .layer("compute-actors")
            .definedBy("io.spg99.compute..")
            .layer("gateway-actors")
            .definedBy("io.spg99.gateway..")
            .layer("lifecycle-actors")
            .definedBy("io.spg99.lifecycle..")
            .layer("cluster-config")
            .definedBy("io.spg99.cluster..")
            .layer("multi-jvm-tests")
            .definedBy("io.spg99.tests..", "io.spg99.bench..", "io.spg99.verify..")
            .whereLayer("storage-clients")
            .mayNotAccessAnyLayer()
            .whereLayer("storage-nodes")
            .mayOnlyAccessLayers("storage-clients")
            .whereLayer("compute-actors")
            .mayOnlyAccessLayers("storage-clients")
            .whereLayer("gateway-actors")
            .mayNotAccessAnyLayer()
            .whereLayer("lifecycle-actors")
            .mayOnlyAccessLayers("compute-actors", "gateway-actors", "storage-clients")
            .whereLayer("cluster-config")
            .mayOnlyAccessLayers(
                    "storage-clients", "storage-nodes", "compute-actors", "gateway-actors", "lifecycle-actors")
            .whereLayer("multi-jvm-tests")
            .mayNotBeAccessedByAnyLayer();

    /** The rule above looks at nothing else. */
    @ArchTest
    static final ArchRule every_class_is_in_a_module = classes()
            .should()
            .resideInAnyPackage(
                    "io.spg99.storage..",
                    "io.spg99.nodes..",
                    "io.spg99.compute..",
                    "io.spg99.gateway..",
                    "io.spg99.lifecycle..",
                    "io.spg99.cluster..",
                    "io.spg99.tests..",
                    "io.spg99.bench..",
                    "io.spg99.verify..");

    @ArchTest
    static final ArchRule packages_have_no_cycles =
            slices().matching("io.spg99.(*).(**)").should().beFreeOfCycles();

    private static final DescribedPredicate<JavaClass> ACTORS = DescribedPredicate.describe(
            "actors",
            c -> c.isAssignableTo(AbstractBehavior.class)
                    || c.getMethods().stream()
                            .anyMatch(m -> m.getName().equals("create")
                                    && m.getRawReturnType().isAssignableTo(Behavior.class)));

    @ArchTest
    static final ArchRule actors_do_not_wait = noClasses()
            .that(ACTORS)
            .should()
            .callMethodWhere(DescribedPredicate.describe(
                    "wait for a future",
                    call -> (call.getName().equals("get") || call.getName().equals("join"))
                            && call.getTargetOwner().isAssignableTo(Future.class)))
            .orShould()
            .callMethod(Thread.class, "sleep", long.class)
            .orShould()
            .dependOnClassesThat(resideInAPackage("java.sql.."))
            .because("an actor's dispatcher is never blocked: pipeToSelf");

    @ArchTest
    static final ArchRule packages_say_what_belongs_in_them = classes()
            .that()
            .haveSimpleName("package-info")
            .should()
            .beAnnotatedWith("org.jspecify.annotations.NullMarked");
}
